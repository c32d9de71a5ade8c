"""The table of all cells: complete, and read back to the fit of the sweep itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.fit import fit_law
from analysis.table import Table, load_table
from scaling.cell_table import cell_table, write_table
from scaling.cli import main
from scaling.errors import StoreError
from scaling.record import RunRecord, TermLoss
from scaling.spec import RunSpec
from scaling.store import Store
from tests.factories import make_record, make_spec

UNIGRAM_NATS = 70.0


def planted_record(spec: RunSpec) -> RunRecord:
    """L = 1.6 + 160 / N^0.4 + 700 / D^0.4, with noise of a seed."""
    params, tokens = 12 * spec.n_layer * spec.d_model**2, spec.train_tokens
    noise = np.random.default_rng(params + tokens).normal(0, 0.002)
    loss = (1.6 + 160 / params**0.4 + 700 / tokens**0.4) * float(np.exp(noise))
    return make_record(
        spec,
        params={"blocks": params},
        params_total=params,
        params_non_embedding=params,
        train_flops=6.0 * params * tokens,
        train_flops_6nd=6.0 * params * tokens,
        losses={"clm": TermLoss(nats_per_target=loss, targets=100, standard_error=0.01,
                                unigram_nats_per_target=UNIGRAM_NATS)},
        bits_per_byte=loss / 2,
    )  # fmt: skip


def listed(spec: RunSpec) -> dict[str, Any]:
    labels = {"arch": spec.arch, "size": f"d{spec.d_model}", "seed": spec.seed}
    return {"run_id": spec.run_id, "labels": labels, "depends_on": None, "excluded": None,
            "spec": spec.to_dict()}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A planted sweep with a cell of each kind that no fit may use."""
    store = Store(tmp_path_factory.mktemp("table") / "runs")
    specs = [
        make_spec(d_model=width, d_ff=4 * width, train_tokens=512 * steps)
        for width in (32, 64, 96, 128)
        for steps in (200, 800, 3200, 12800)
    ]
    others = [make_spec(seed=seed) for seed in range(1, 5)]
    failed, pending, unlearned, damaged = others
    for spec in specs + others:
        store.add(spec)
        if spec is pending:
            continue
        record = make_record(spec, "failed") if spec is failed else planted_record(spec)
        if spec is unlearned:
            loss = TermLoss(nats_per_target=75.0, targets=9, standard_error=0.1,
                            unigram_nats_per_target=UNIGRAM_NATS)  # fmt: skip
            record = make_record(spec, losses={"clm": loss})
        claim = store.claim(spec.run_id)
        assert claim is not None
        assert store.publish(claim, record)
    path = store.folder(damaged.run_id) / "record.json"
    path.write_text(path.read_text().replace('"tokens_seen": 1', '"tokens_seen": 2'))
    excluded = listed(make_spec(seed=9)) | {
        "run_id": None,
        "excluded": "too few tokens",
        "spec": None,
    }
    cells = [listed(spec) for spec in specs + others]
    store.write_sweep("planted", "method: grid\n", [*cells, excluded])
    store.write_sweep("part", "method: grid\n", cells[:2])
    store.add(make_spec(seed=77))
    return store


def exponents(table: Table) -> dict[str, float]:
    result = fit_law(table, intervals=None)
    return {name: estimate.value for name, estimate in result.estimates.items()}


def test_the_csv_gives_the_fit_of_the_sweep(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    arguments = ["store", "export", str(path), "--root", str(store.root), "--sweep", "planted"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.output == f"{path}: 21 cells, 17 of them done\n"
    for loss in ("main", "bits_per_byte"):
        by_csv = load_table(path, loss=loss)
        by_sweep = load_table(store.root / "planted", loss=loss)
        assert len(by_csv.frame) == len(by_sweep.frame) == 16
        assert len(by_csv.excluded) == len(by_sweep.excluded) == 5
        assert by_csv.loss_kinds == by_sweep.loss_kinds
        columns = {"n": "params_non_embedding"}
        own = exponents(by_csv.with_columns(**columns))
        assert own == pytest.approx(exponents(by_sweep.with_columns(**columns)), rel=1e-9)


def test_every_cell_has_a_row_with_its_state_and_reason(store: Store) -> None:
    table = cell_table(store)
    states = table["state"].value_counts().to_dict()
    assert states == {"done": 17, "pending": 2, "failed": 1, "damaged": 1, "excluded": 1}
    reasons = table.set_index("state")["reason"]
    assert reasons["failed"] == "planted"
    assert "a checksum that is not that of its content" in reasons["damaged"]
    assert reasons["excluded"] == "too few tokens"
    # Nothing of a damaged record, and whole numbers where rows are missing.
    damaged = table[table["state"] == "damaged"].iloc[0]
    assert damaged[["loss_nats", "params_total", "bits_per_byte"]].isna().all()
    assert table["params_total"].dtype == "Int64"
    assert table["sweeps"].value_counts().to_dict() == {
        "planted": 19, "part;planted": 2, "": 1,
    }  # fmt: skip
    assert table["run_id"].nunique() == 21


def test_losses_of_two_texts_are_two_kinds(store: Store) -> None:
    spec = make_spec(corpus_fingerprint="another")
    other = Store(store.root.parent / "two")
    for one in (spec, make_spec()):
        other.add(one)
        claim = other.claim(one.run_id)
        assert claim is not None
        other.publish(claim, make_record(one))
    kinds = set(cell_table(other)["loss_kind"])
    assert kinds == {"clm, text another", "clm, text corpus"}


def test_parquet_holds_the_same(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    table = cell_table(store, "planted")
    write_table(table, tmp_path / "runs.parquet")
    read = pd.read_parquet(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


def test_what_cannot_be_written_is_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = cell_table(store, "part")
    with pytest.raises(StoreError, match=r"a table is a \.csv or a \.parquet"):
        write_table(table, tmp_path / "runs.xlsx")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"pip install -c .*\[parquet\]'"):
        write_table(table, tmp_path / "runs.parquet")
    with pytest.raises(StoreError, match="holds no cell"):
        cell_table(Store(tmp_path))
