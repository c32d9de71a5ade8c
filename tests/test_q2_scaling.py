"""Question 2 on planted runs: what was planted is found, and what was not is not established."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.questions.answer import Answer, write_answer
from analysis.questions.arm_ladder import Gap, plateau_notes, runs_frame
from analysis.questions.q2_scaling import _exponents, _flips, answer
from analysis.questions.table import Evaluation, read_question_table
from analysis.seeds import seed_mean
from scaling.record import TermLoss
from scaling.store import Store
from tests.factories import make_record, make_spec

ENTROPY = 0.9
BUDGETS = (1e11, 2e11, 4e11, 8e11)
# arm -> (objective, excess at the smallest budget, exponent of its decline)
ARMS = {
    "clm": ("clm", 1.0, 0.3),
    "clm-15": ("clm", 1.3, 0.3),
    "causal-mlm-15": ("mlm", 2.0, 0.3),
    "mlm-15": ("mlm", 1.6, 0.2),
}


def write_study(folder: Path, *, seeds: tuple[int, ...] = (0, 1, 2), noise: float = 0.002) -> Path:
    store, cells = Store(folder.parent), []
    rng = np.random.default_rng(0)
    for arm, (objective, excess, exponent) in ARMS.items():
        for seed in seeds:
            for budget in BUDGETS:
                spec = make_spec(
                    arch="encoder" if arm == "mlm-15" else "decoder", objective=objective,
                    seed=seed, target_share=0.15 if arm == "clm-15" else 1.0,
                    train_tokens=512 * int(budget / 1e9), corruption="mask",
                )  # fmt: skip
                left = excess * (budget / BUDGETS[0]) ** -exponent
                left *= math.exp(noise * rng.normal())
                loss = TermLoss(
                    nats_per_target=2.0, targets=100, standard_error=0.1,
                    optimal_nats_per_target=ENTROPY * math.log(2) if objective == "clm" else None,
                )  # fmt: skip
                record = make_record(
                    spec, bits_per_byte=ENTROPY + left, train_flops=budget, 
                    losses={objective: loss},
                    train_flops_6nd=budget / 2, tokens_predicted=spec.train_tokens // 2,
                    bits_per_byte_kind="exact" if objective == "clm" else "upper_bound",
                )  # fmt: skip
                path = store.folder(spec.run_id) / "record.json"
                path.parent.mkdir(parents=True)
                path.write_text(record.to_json())
                labels = {"arm": arm, "size": "14k", "train_flops": budget, "seed": seed}
                cells.append({
                    "run_id": spec.run_id, "labels": labels, "depends_on": None, "excluded": None,
                    "spec": spec.to_dict(),
                })  # fmt: skip
    store.write_sweep(folder.name, "", cells)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    folder = write_study(tmp_path_factory.mktemp("store") / "q2")
    return answer(read_question_table(folder))


def verdict(found: Answer, words: str):  # type: ignore[no-untyped-def]
    """The one verdict whose claim begins with these words, or with "the" and these words."""
    (one,) = [v for v in found.verdicts if v.claim.removeprefix("the ").startswith(words)]
    return one


def test_each_step_from_gpt_to_bert_has_its_own_cost(planted: Answer) -> None:
    steps = {
        "share of tokens that give a loss costs": (1.3 - 1.0) * 8**-0.3,
        "corruption of the input costs": (2.0 - 1.3) * 8**-0.3,
        "direction of attention saves": 1.6 * 8**-0.2 - 2.0 * 8**-0.3,
    }
    for words, expected in steps.items():
        found = verdict(planted, words)
        assert found.is_established, words
        assert found.n_seeds == 3
        assert found.estimate.value == pytest.approx(expected, abs=0.01)


def test_the_exponent_of_the_excess_is_the_planted_one(planted: Answer) -> None:
    (smaller,) = [v for v in planted.verdicts if v.claim.startswith("mlm-15 scales")]
    assert smaller.is_established
    assert smaller.estimate.value == pytest.approx(-0.1, abs=0.01)
    (same,) = [v for v in planted.verdicts if v.claim.startswith("clm-15 scales")]
    assert not same.is_established


def test_multiples_of_compute_fall_out_of_the_laws(planted: Answer) -> None:
    table = planted.tables["multiples_of_compute"]
    inside = table[(table["arm"] == "clm-15") & (table["bound"] == "")]
    # 1.3 C^-0.3 is the reference's loss at 1.3^(1/0.3) times less compute.
    assert inside["multiple"].to_numpy() == pytest.approx(1.3 ** (1 / 0.3), rel=0.05)
    behind = verdict(planted, "clm-15 needs more compute")
    assert behind.is_established
    assert behind.estimate.value == pytest.approx(math.log10(1.3) / 0.3, abs=0.02)
    bounds = table[(table["arm"] == "causal-mlm-15")]["bound"]
    assert "lower" in set(bounds)


def test_what_only_bounds_are_known_of_says_so(planted: Answer) -> None:
    assert BUDGETS[-1] / BUDGETS[0] < 2.0 ** (1 / 0.3)
    found = verdict(planted, "causal-mlm-15 needs more than 8 times the compute of clm")
    assert found.estimate is None
    assert found.is_established
    assert "in each seed" in found.basis
    for arm in ("causal-mlm-15", "mlm-15"):
        assert "upper bound" in verdict(planted, f"{arm} needs more bits per byte").claim
    assert "upper bound" not in verdict(planted, "clm-15 needs more bits per byte").claim
    assert "bound" not in verdict(planted, "share of tokens").claim
    assert "upper bound" in verdict(planted, "corruption").claim
    assert "of two bounds" in verdict(planted, "direction").claim


def test_runs_on_the_plateau_are_named() -> None:
    frame = pd.DataFrame(
        {
            "arm": ["clm", "mlm-15", "mlm-15", "bpe"],
            "bits_per_byte": [2.0, 3.61, 3.59, 9.0],
            "unigram": [4.0, 4.0, 4.0, math.nan],
        }
    )
    (note,) = plateau_notes(frame)
    assert note.startswith("mlm-15: 1 of 2 runs need over 90% of the 4.00 bits per byte")


def test_one_seed_establishes_nothing(tmp_path: Path) -> None:
    found = answer(read_question_table(write_study(tmp_path / "q2", seeds=(0,))))
    assert found.verdicts
    assert not any(v.is_established for v in found.verdicts)


def test_without_the_reference_there_is_no_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    spec = make_spec()
    (store.folder(spec.run_id)).mkdir(parents=True)
    (store.folder(spec.run_id) / "record.json").write_text(make_record(spec).to_json())
    cell = {"run_id": spec.run_id, "labels": {"arm": "mlm-15"}, "depends_on": None,
            "excluded": None, "spec": spec.to_dict()}  # fmt: skip
    store.write_sweep("q2", "", [cell])
    with pytest.raises(AnalysisError, match="has no arm 'clm' and another one"):
        answer(read_question_table(tmp_path / "q2"))


def test_figures_are_drawn_and_their_data_written(planted: Answer, tmp_path: Path) -> None:
    written = {path.name for path in write_answer(planted, tmp_path)}
    assert {"levels.csv", "levels.svg", "multiples.csv", "steps_by_match.csv"} <= written
    assert "<= " not in (tmp_path / "levels.svg").read_text()


def test_the_shorter_of_two_codes_is_set_against_the_reference(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "q2")
    table = read_question_table(folder)
    frame = runs_frame(table)
    masked = frame[frame["arm"] == "mlm-15"]
    last = masked[masked["budget_flops"] == BUDGETS[-1]]
    ours = [
        Evaluation(
            run_id=f"chain-{run_id}", measurement="left_to_right", labels={},
            options={"weights": "trained"}, missing={}, run=table.runs[run_id],
            values={"bits_per_byte": bits - 0.25},
        )
        for run_id, bits in zip(last["run_id"], last["bits_per_byte"], strict=True)
    ]  # fmt: skip
    untrained = dataclasses.replace(ours[0], options={"weights": "initial"}, values={
        "bits_per_byte": 9.0})  # fmt: skip
    found = answer(dataclasses.replace(table, evaluations=(*ours, untrained)))
    assert len(found.tables["codes"]) == len(ours)
    apart = verdict(found, "mlm-15: the code from left to right is shorter")
    assert apart.is_established
    assert apart.estimate.value == pytest.approx(-0.25)
    behind = verdict(found, "mlm-15 needs more bits per byte than clm by the shorter")
    bound = verdict(found, "mlm-15 needs more bits per byte than clm (")
    # Where one side of a step has no code of its own there is nothing to compare.
    assert not [
        v for v in found.verdicts if v.claim.startswith("the direction") and "code" in v.claim
    ]
    assert behind.estimate.value == pytest.approx(bound.estimate.value - 0.25)
    assert not [v for v in answer(table).verdicts if "code" in v.claim]


def test_another_match_flips_a_verdict_by_sign_or_by_interval(planted: Answer) -> None:
    # Predicted targets are half the tokens of every arm here, so nothing turns round.
    assert verdict(planted, "clm-15 needs more bits").flips == ()
    one = {0: 0.3, 1: 0.31, 2: 0.29}
    main = seed_mean(list(one.values()), name="", unit="")
    gaps = {
        "exact FLOPs": Gap(by_seed=one, at=1.0),
        "tokens": Gap(by_seed={0: 0.9, 1: -0.3, 2: 0.2}, at=1.0),
        "predicted targets": Gap(by_seed={0: -0.2, 1: -0.21, 2: -0.2}, at=1.0),
        "FLOPs by 6ND": None,
    }
    assert _flips(gaps, main, above=True) == [
        "at equal tokens (not established, +0.27)", "at equal predicted targets (-0.20)",
    ]  # fmt: skip


def test_exponents_are_compared_over_the_same_budgets() -> None:
    rows = []
    for seed in (0, 1, 2):
        for step in range(6):
            # The reference is steep at first; from the fourth budget on both fall alike.
            steep = 0.5 * min(step, 3) + 0.2 * max(step - 3, 0)
            rows.append(("clm", seed, step, -steep + 0.001 * seed))
            if step >= 3:
                rows.append(("mlm-15", seed, step, 1.0 - 0.2 * step + 0.002 * (seed - 1) * step))
    frame = pd.DataFrame(rows, columns=["arm", "seed", "step", "log_excess"])
    budgets = 10.0 ** (10 + frame["step"])
    frame = frame.assign(
        size="14k", kind="exact", budget_flops=budgets, train_flops=budgets,
        bits_per_byte=ENTROPY + 10.0 ** frame["log_excess"],
    )  # fmt: skip
    (found,) = _exponents(frame, ENTROPY)
    assert found.estimate.value == pytest.approx(0.0, abs=0.003)
    assert not found.is_established
