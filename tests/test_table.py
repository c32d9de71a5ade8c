"""Every row of a source is in the table or listed with its reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.table import load_table
from tests.planted_runs import isoflop_frame
from tests.planted_sweep import write_sweep


def test_every_run_of_a_published_csv_is_accounted_for(shared_data: Path) -> None:
    path = shared_data / "laws/protein_mlm_clm/final_points.csv"
    table = load_table(path)
    assert len(table.frame) + len(table.excluded) == 209
    # Seven runs stand in the file twice, three of them under two sizes.
    assert len(table.excluded) == 7
    assert table.excluded["reason"].str.startswith("duplicate of run").all()
    assert table.excluded["reason"].str.contains("although").sum() == 2
    assert table.groups == ("CLM", "MLM")
    assert table.loss_kinds == ("clm", "mlm")
    assert any("min_loss" in note for note in table.notes)


def test_curves_of_a_csv_become_one_row_per_run(shared_data: Path) -> None:
    folder = shared_data / "laws/protein_mlm_clm"
    table = load_table(folder / "curves.csv.gz")
    final = load_table(folder / "final_points.csv")
    merged = table.frame.merge(final.frame, on="run_id", suffixes=("", "_final"))
    assert len(merged) == len(final.frame)
    np.testing.assert_allclose(merged["loss_nats"], merged["loss_nats_final"])
    assert len(table.curves()) > 70_000


def test_columns_are_recognised_by_common_names(shared_data: Path) -> None:
    laws = shared_data / "laws"
    chinchilla = load_table(laws / "chinchilla_epoch/chinchilla_245.csv")
    assert chinchilla.provenance["column_of"]["params_total"] == "N"
    assert len(chinchilla.frame) == 245
    openathena = load_table(laws / "isoflops_openathena/isoflops.csv")
    assert openathena.columns["c"] == "train_flops"
    gadre = load_table(laws / "gadre/gadre_104_models.csv", loss="loss_paloma_redpajama")
    assert gadre.provenance["column_of"]["params_non_embedding"] == "N_no_embed"
    assert "seed" not in gadre.frame


def test_an_ambiguous_loss_names_the_option(shared_data: Path) -> None:
    with pytest.raises(AnalysisError, match=r"loss \(--loss\).*it has name, dataset"):
        load_table(shared_data / "laws/gadre/gadre_104_models.csv")
    frame = isoflop_frame()
    with pytest.raises(AnalysisError, match=r"'val_loss', 'test_loss' could each .* --loss"):
        load_table(frame.rename(columns={"loss": "val_loss"}).assign(test_loss=1.0))


@pytest.mark.parametrize("missing", ["loss", "params_total"])
def test_a_missing_column_is_one_line_that_lists_the_others(missing: str) -> None:
    with pytest.raises(
        AnalysisError, match=r"no column is recognised as .* it has .*flops"
    ) as error:
        load_table(isoflop_frame().drop(columns=missing))
    assert "\n" not in str(error.value)


def test_tokens_follow_from_flops_and_the_table_says_so() -> None:
    frame = isoflop_frame()
    table = load_table(frame.drop(columns="tokens"))
    np.testing.assert_allclose(table.frame["train_tokens"], frame["tokens"])
    assert any("D = C / 6N" in note for note in table.notes)
    assert "C / 6N" in table.labels["d"]


def test_a_named_column_wins_and_its_name_sets_the_convention() -> None:
    frame = isoflop_frame().assign(n_non_embedding=lambda f: f["params_total"] / 2)
    table = load_table(frame, columns={"n": "n_non_embedding"})
    assert table.columns["n"] == "params_non_embedding"
    with pytest.raises(AnalysisError, match=r"no column 'width' .--n"):
        load_table(frame, columns={"n": "width"})


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("loss", 0.0, "loss_nats is 0"),
        ("loss", np.inf, "loss_nats is inf"),
        ("params_total", -1.0, "params_total is -1"),
        ("tokens", np.nan, "train_tokens is missing"),
        ("flops", 0.0, "train_flops is 0"),
    ],
)
def test_bad_values_are_excluded_with_their_line(column: str, value: float, reason: str) -> None:
    frame = isoflop_frame()
    frame.loc[3, column] = value
    table = load_table(frame)
    assert len(table.frame) == len(frame) - 1
    (row,) = table.excluded.to_dict("records")
    assert row["row"] == 5  # line 1 of the file is the header
    assert row["reason"].startswith(reason)


def test_a_loss_that_is_nan_is_an_error_unless_the_status_says_why() -> None:
    frame = isoflop_frame()
    frame.loc[4, "loss"] = np.nan
    with pytest.raises(AnalysisError, match="line 6: loss is NaN"):
        load_table(frame)
    frame["status"] = np.where(frame["loss"].isna(), "diverged", "done")
    table = load_table(frame)
    assert table.excluded["reason"].tolist() == ["status diverged"]


def test_text_in_a_number_column_is_an_error_with_its_line() -> None:
    frame = isoflop_frame().astype({"tokens": object})
    frame.loc[2, "tokens"] = "12B"
    with pytest.raises(AnalysisError, match="line 4: tokens='12B' is not a number"):
        load_table(frame)


def test_the_same_run_twice_counts_once_and_repeats_are_noted() -> None:
    frame = isoflop_frame()
    twice = pd.concat([frame, frame.iloc[[0]], frame.iloc[[1]].assign(loss=3.21)])
    table = load_table(twice)
    assert table.excluded["reason"].tolist() == ["duplicate of run line 2"]
    assert any("2 runs share" in note for note in table.notes)


def test_rows_can_be_chosen_and_the_rest_is_counted(shared_data: Path) -> None:
    path = shared_data / "laws/gadre/gadre_104_models.csv"
    table = load_table(path, loss="loss_openlm", where={"dataset": "rpj"})
    assert len(table.frame) + len(table.excluded) < 104
    # The column `model` names sizes there.
    assert table.groups == ()
    assert any("left out by the choice dataset=rpj" in note for note in table.notes)
    with pytest.raises(AnalysisError, match="no row has"):
        load_table(path, loss="loss_openlm", where={"dataset": "nowhere"})


def test_a_sweep_lists_runs_that_failed_are_pending_or_were_left_out(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path))
    assert len(table.frame) + len(table.excluded) == 27
    reasons = table.excluded.set_index("reason")["size"]
    ends = {reason.split(":")[0]: size for reason, size in reasons.items()}
    assert ends["status diverged"] == "25k"
    assert ends["no record yet"] == "25k"
    assert ends["excluded by the sweep"] == "442k"
    assert set(table.frame["budget_flops"]) == {2e12, 8e12, 3.2e13}
    assert [kind.split("@")[0] for kind in table.loss_kinds] == ["clm", "mlm"]
    assert "mixed" in table.yardstick
    assert (table.curves()["split"] == "validation").all()


def test_bits_per_byte_is_one_yardstick_and_bounds_are_marked(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path), loss="bits_per_byte")
    assert table.loss_kinds == ("bits_per_byte",)
    assert table.columns["loss"] == "bits_per_byte"
    assert any("12 runs are upper bounds" in note for note in table.notes)


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("cells/*/record.json"))]


def test_the_record_says_what_its_loss_measures_and_which_term_is_the_main_one(
    tmp_path: Path,
) -> None:
    write_sweep(tmp_path)
    records = [r for r in _records(tmp_path) if r["spec"]["arch"] == "encoder" and r["losses"]]
    for record in records:
        # Trained at another rate, on pairs; evaluated at the common one.
        record["spec"] |= {"objective": "mlm+nsp", "mask_rate": 0.4}
        record["yardsticks"] = {"mlm": "mlm@0.15 on pairs"}
        record["losses"]["nsp"] = {"nats_per_target": 0.4, "targets": 9, "standard_error": 0.1}
        record["curve"].append({**record["curve"][0], "term": "nsp", "nats_per_target": 0.6})
    table = load_table(records)
    assert table.yardstick == "mlm@0.15 on pairs"
    assert set(table.curves()["term"]) == {"mlm"}
    pairs = load_table(records, loss="nsp")
    assert set(pairs.frame["loss_nats"]) == {0.4}
    assert pairs.yardstick == "nsp"
    assert set(pairs.curves()["loss_nats"]) == {0.6}


def test_a_record_of_the_trainer_is_read_field_by_field() -> None:
    """The JSON form is the interface between the packages; a renamed field must not pass."""
    from scaling.record import RunRecord

    names = {field.name for field in dataclasses.fields(RunRecord)}
    read = {"run_id", "spec", "status", "reason", "yardsticks", "params_total", "losses", "curve",
            "params_non_embedding", "train_flops", "train_flops_6nd", "tokens_predicted",
            "tokens_unique", "bits_per_byte", "bits_per_byte_kind",
            "bits_per_byte_standard_error", "missing", "schema_version"}  # fmt: skip
    assert read <= names


def test_a_run_that_does_not_beat_the_unigram_code_is_not_fitted(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    records = [r for r in _records(tmp_path) if r["status"] == "done"]
    term = next(iter(records[0]["losses"].values()))
    term["unigram_nats_per_target"] = term["nats_per_target"]
    reasons = load_table(records).excluded.set_index("run_id")["reason"]
    assert "does not beat the unigram code" in reasons[records[0]["run_id"]]


def test_nats_of_two_tokenizers_are_two_yardsticks_and_bits_per_byte_one(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    records = [r for r in _records(tmp_path) if r["spec"]["arch"] == "decoder"]
    records[0]["spec"]["tokenizer_fingerprint"] = "0123456789abcdef"
    assert len(load_table(records).loss_kinds) == 2
    assert len(load_table(records, loss="bits_per_byte").loss_kinds) == 1


def test_an_unknown_term_says_which_the_records_have(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    with pytest.raises(AnalysisError, match=r"no run has loss_nats: .*'nsp'; it has clm"):
        load_table([r for r in _records(tmp_path) if r["status"] == "done"], loss="nsp")


def test_excluding_and_restoring_a_run_are_inverse() -> None:
    table = load_table(isoflop_frame())
    without = table.exclude(table.frame["loss_nats"] > table.frame["loss_nats"].nlargest(3).min(),
                            "two highest losses")  # fmt: skip
    assert len(without.excluded) == 2
    back = without.restore(0).restore(0)
    assert sorted(back.frame["run_id"]) == sorted(table.frame["run_id"])
    assert back.excluded.empty


def test_a_run_without_a_loss_cannot_be_restored(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path))
    pending = table.excluded.index[table.excluded["reason"] == "no record yet"][0]
    with pytest.raises(AnalysisError, match="stays excluded"):
        table.restore(pending)


def test_a_table_without_a_usable_run_says_why() -> None:
    with pytest.raises(AnalysisError, match="no usable run; 9 status failed"):
        load_table(isoflop_frame().head(9).assign(status="failed"))


def test_a_source_that_is_not_there_or_empty_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no file or folder"):
        load_table(tmp_path / "nothing.csv")
    with pytest.raises(AnalysisError, match=r"no cells\.json"):
        load_table(tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text("N,D,loss\n")
    with pytest.raises(AnalysisError, match="no rows"):
        load_table(empty)


def test_runs_that_differ_in_more_than_size_and_seed_are_told(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    records = [r for r in _records(tmp_path) if r["status"] == "done"]
    assert not [note for note in load_table(records).notes if "pools runs" in note]
    for i, record in enumerate(records):
        record["spec"]["mask_rate"] = (0.15, 0.4)[i % 2]
    notes = [note for note in load_table(records).notes if "pools runs" in note]
    assert any("differ in mask_rate (0.15, 0.4)" in note for note in notes)


def test_losses_over_windows_of_two_lengths_are_two_yardsticks(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    records = [r for r in _records(tmp_path) if r["status"] == "done"]
    before = load_table(records).loss_kinds
    records[0]["spec"]["seq_len"] *= 2
    assert len(load_table(records).loss_kinds) > len(before)
