"""Evaluation cells: their ids, their records, and their way through the store and the queue."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scaling.cell_table import cell_table
from scaling.cli import main
from scaling.errors import StoreError, SweepError
from scaling.evaluate.measurement import load_trained, make_evaluation
from scaling.evaluate.options import grid, make_options
from scaling.evaluation_cell import EvaluationRecord, EvaluationSpec, check_values
from scaling.jobs import Job, Queue, make_evaluation_jobs, make_jobs
from scaling.outcome import ended_record
from scaling.spec import SpecError
from scaling.store import Store
from scaling.sweep import Sweep, expand
from scaling.sweep_status import StatusReader
from scaling.upkeep import look_through
from scaling.wandb_mirror.content import final_summary
from scaling.worker import run_cell
from tests import measured
from tests.measured import NAME, Options
from tests.tiny_sweep import loader, write_tiny_sweep

RUN = "0" * 16


@pytest.fixture(autouse=True)
def _measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    measured.known(monkeypatch)


def planned(
    folder: Path, *evaluations: dict[str, Any], **changes: Any
) -> tuple[Store, Sweep, list[Job]]:
    """A store with a tiny sweep and its evaluations, as `scaling run` leaves it before training."""
    changes["train_tokens"] = changes.get("train_tokens", 2560)
    path = write_tiny_sweep(folder, **changes)
    content = path.read_text()
    path.write_text(content + f"  evaluations: {json.dumps({'value': list(evaluations)})}\n")
    store = Store(folder / "runs")
    sweep = expand(path, loader(store.root))
    store.write_sweep(sweep.name, sweep.source, sweep.to_dicts())
    for cell in sweep.all_cells:
        store.add(cell.spec)
    jobs = make_jobs(sweep.cells, wandb_mode="disabled")
    return store, sweep, jobs + make_evaluation_jobs(sweep.evaluations, wandb_mode="disabled")


def test_an_id_is_that_of_what_is_measured(tmp_path: Path) -> None:
    plain = make_evaluation(NAME, RUN, {})
    assert plain.options == {}
    assert make_evaluation(NAME, RUN, {"power": 2, "parts": [1], "kind": "sum"}) == plain
    # With all defaults, which a new option or a new field must not change.
    canonical = f'{{"data":{{}},"measurement":"{NAME}","of":"{RUN}","options":{{}}}}'
    assert plain.run_id == hashlib.sha256(canonical.encode()).hexdigest()[:16]
    words = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for path, text in zip(words, ("x", "x", "y"), strict=True):
        path.write_text(text)
    others = [
        make_evaluation(NAME, "1" * 16, {}),
        make_evaluation(NAME, RUN, {"power": 3}),
        make_evaluation(NAME, RUN, {"weights": "initial"}),
        EvaluationSpec.from_dict(plain.to_dict() | {"version": 2}),
        *(make_evaluation(NAME, RUN, {"words": str(path)}) for path in words),
    ]
    ids = [spec.run_id for spec in (plain, *others)]
    # Where data lie is no part of what they are; what they say is.
    assert ids[-3] == ids[-2]
    assert len(set(ids)) == len(ids) - 1
    for spec in others:
        assert EvaluationSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pover": 1}, "has no option 'pover'; did you mean 'power'"),
        ({"power": "much"}, "power='much' is not a number"),
        ({"power": True}, "power=True is not a number"),
        ({"parts": [1, "b"]}, "parts=.* is not a list, each a whole number"),
        ({"kind": "median"}, "kind='median' is not one of sum, mean"),
        ({"words": 3}, "words=3 is not text or null"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        make_options(Options, given, what=NAME)


def test_a_list_is_an_axis_unless_the_option_is_one() -> None:
    points = grid(Options, {"power": [1.0, 2.0], "parts": [1, 2], "kind": ["sum", "mean"]})
    assert len(points) == 4
    assert {tuple(point["parts"]) for point in points} == {(1, 2)}
    assert [p["parts"] for p in grid(Options, {"parts": [[1], [1, 2]]})] == [[1], [1, 2]]


def test_a_spec_of_an_evaluation_breaks_no_rule() -> None:
    for wrong, message in (
        ({"of": "../../etc"}, "is not a run id"),
        ({"options": [1]}, "is not a mapping"),
        ({"measurement": 3}, "is not text"),
        ({"tokens": 3}, "unknown field 'tokens'"),
    ):
        values = {"measurement": NAME, "of": RUN} | wrong
        with pytest.raises(SpecError, match=message):
            EvaluationSpec.from_dict(values)


def test_values_are_plain_finite_and_explained() -> None:
    check_values({"a": [1, {"b": None}]}, {"a.1.b": "why"})
    check_values({"a": {"b": None, "c": None}}, {"a": "why"})
    with pytest.raises(ValueError, match=r"a\.b is null"):
        check_values({"a": {"b": None}}, {"a.c": "why"})
    with pytest.raises(ValueError, match=r"a\.0=nan"):
        check_values({"a": [math.nan]}, {})
    with pytest.raises(ValueError, match="plain JSON"):
        check_values({"a": object()}, {})


def test_a_sweep_trains_and_then_measures(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("two words")
    store, sweep, jobs = planned(
        tmp_path,
        {"measurement": NAME, "weights": ["trained", "initial"], "words": str(words)},
        train_tokens=[2560, 5120],
    )
    # The untrained model is one for both horizons of a trunk.
    kinds = [cell.spec.options.get("weights", "trained") for cell in sweep.evaluations]
    assert kinds == ["trained", "initial", "trained"]
    assert [cell.labels.get("weights") for cell in sweep.evaluations] == kinds
    queue = Queue(jobs, store)
    order = []
    while (job := queue.next()) is not None:
        order.append(job)
        assert run_cell(store.root, job) == "done"
        queue.refresh()
    assert [job.of is None for job in order] == [True, True, False, False, False]
    assert queue.counts() == {"done": 5}
    assert not queue.unfinished
    found = {}
    for cell in sweep.evaluations:
        record = store.record(cell.run_id)
        assert isinstance(record, EvaluationRecord)
        assert record.spec == cell.spec
        assert record.values["words"] == "two words"
        assert record.options["power"] == 2.0
        assert "words" not in record.options
        found[cell.spec.of, record.options["weights"]] = record.values["norm"]
        assert final_summary(record)["final/norm"] == record.values["norm"]
    assert len(set(found.values())) == 3
    first = sweep.cells[0].run_id
    model = load_trained(store, first, weights="initial").model
    assert found[first, "initial"] == sum(
        float(p.detach().pow(2).sum()) for p in model.parameters()
    )
    with pytest.raises(StoreError, match="is an evaluation"):
        load_trained(store, sweep.evaluations[0].run_id)


def test_each_command_copes_with_evaluations(tmp_path: Path) -> None:
    store, sweep, jobs = planned(tmp_path, {"measurement": NAME, "power": [2.0, -1.0]})
    good, bad = sweep.evaluations
    outcomes = [run_cell(store.root, job) for job in jobs]
    assert outcomes == ["done", "done", "failed"]
    assert store.reason(bad.run_id) == "ValueError: a negative power was asked for"
    assert (store.folder(bad.run_id) / "traceback.txt").exists()
    status = StatusReader(store, "tiny").read()
    assert status.is_over
    assert [cell.measurement for cell in status.cells] == [None, NAME, NAME]
    assert [cell.state for cell in status.cells] == ["done", "done", "failed"]
    assert list(cell_table(store)["run_id"]) == [sweep.cells[0].run_id]
    assert list(cell_table(store, "tiny")["run_id"]) == [sweep.cells[0].run_id]
    assert look_through(store) == []

    # What is damaged is found, moved aside, and made again.
    record = store.folder(good.run_id) / "record.json"
    record.write_text(record.read_text().replace('"status": "done"', '"status": "doen"'))
    (store.folder(good.run_id) / "spec.json").write_text("{}")
    assert store.state(good.run_id) == "damaged"
    kinds = [finding.kind for finding in look_through(store, mend=True)]
    assert kinds == ["record", "spec"]
    assert store.spec(good.run_id) == good.spec
    assert run_cell(store.root, jobs[1]) == "done"

    run = CliRunner().invoke
    root = ["--root", str(store.root)]
    told = run(main, ["retry", "tiny", *root])
    assert "pending again: 1 failed" in told.output
    told = run(main, ["cancel", "tiny", *root])
    assert "1 pending (not to be started)" in told.output
    assert store.state(bad.run_id) == "cancelled"
    told = run(main, ["logs", bad.run_id, *root])
    assert "is cancelled" in told.output
    told = run(main, ["status", "tiny", *root, "--json"])
    assert json.loads(told.output)["counts"] == {"done": 2, "cancelled": 1}


def test_an_evaluation_waits_for_its_run_and_is_blocked_by_its_failure(tmp_path: Path) -> None:
    store, sweep, jobs = planned(tmp_path, {"measurement": NAME})
    (run,), (evaluation,) = sweep.cells, sweep.evaluations
    queue = Queue(jobs, store)
    assert [job.run_id for job in queue.waiting()] == [run.run_id]
    # Another launch that only measures looks at the run all the same.
    alone = Queue(make_evaluation_jobs(sweep.evaluations), store)
    assert list(alone.waiting()) == []
    assert [job.run_id for job in alone.unfinished] == [evaluation.run_id]
    claim = store.claim(run.run_id)
    assert claim is not None
    store.publish(claim, ended_record(run.spec, "diverged", "the loss went to infinity"))
    for found in (queue, alone):
        found.refresh()
        assert list(found.waiting()) == []
        assert found.unfinished == []
        assert found.ended(evaluation.run_id)
        assert found.counts()["blocked"] == 1
    status = StatusReader(store, "tiny").read()
    assert status.is_over
    assert status.cells[1].state == "blocked"
    assert status.cells[1].reason == f"its run {run.run_id} is diverged"
    # With the run pending again it waits as before.
    store.retry(run.run_id)
    assert [job.run_id for job in Queue(jobs, store).waiting()] == [run.run_id]


def test_data_that_changed_since_the_plan_fail_the_evaluation(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("before")
    store, _, jobs = planned(tmp_path, {"measurement": NAME, "words": str(words)})
    words.write_text("after")
    assert [run_cell(store.root, job) for job in jobs] == ["done", "failed"]
    assert "the data have changed since the sweep was planned" in str(store.reason(jobs[1].run_id))


@pytest.mark.parametrize(
    ("evaluations", "message"),
    [
        ([{"weights": "initial"}], "names no measurement"),
        ([{"measurement": "wieght_norm"}], "did you mean 'weight_norm'"),
        ([{"measurement": NAME, "pover": 1}], "did you mean 'power'"),
        ({"measurement": NAME}, "is not a list"),
    ],
)
def test_a_sweep_file_with_a_wrong_evaluation(
    tmp_path: Path, evaluations: Any, message: str
) -> None:
    path = write_tiny_sweep(tmp_path)
    content = path.read_text() + f"  evaluations: {json.dumps({'value': evaluations})}\n"
    path.write_text(content)
    with pytest.raises(SweepError, match=message):
        expand(path, loader(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("entry", "wrong", "message"),
    [
        ({"measurement": "minimal_pairs", "pairs": "data.jsonl"}, '{"good": "a"}',
         "data.jsonl, line 3 has no sentence in the field 'bad'"),
        ({"measurement": "minimal_pairs", "pairs": "data.jsonl"}, '{"good": "a"',
         "data.jsonl, line 3 is not JSON"),
        ({"measurement": "cls_geometry", "sts": "data.jsonl"}, '{"text1": "a"}',
         "data.jsonl, line 3 is no scored pair (text2, score)"),
    ],
)  # fmt: skip
def test_broken_data_are_said_by_the_plan_and_no_failing_cell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry: dict[str, str],
    wrong: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    right = '{"good": "a b", "bad": "b a", "text1": "a", "text2": "b", "score": 1.0}'
    Path("data.jsonl").write_text("\n".join([right, right, wrong, right]))
    sweep = write_tiny_sweep(tmp_path, evaluations=None)
    line = f"  evaluations: {json.dumps({'value': [entry]})}\n"
    sweep.write_text(sweep.read_text() + line)
    result = CliRunner().invoke(main, ["run", str(sweep)])
    assert result.exit_code == 2
    assert f"error: {message}" in result.stderr
    assert not Path("runs/cells").exists()


def test_what_a_sweep_evaluates_changes_no_run(tmp_path: Path) -> None:
    plain = expand(write_tiny_sweep(tmp_path), loader(tmp_path / "runs"))
    _, sweep, _ = planned(tmp_path, {"measurement": NAME}, train_tokens=[2560, 5120])
    assert [c.run_id for c in sweep.cells] == [c.run_id for c in plain.cells]
