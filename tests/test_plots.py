"""Figures: one yardstick per axis, the data of a figure is what it shows, files without a date."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.isoflop_profiles import isoflop
from analysis.plots.canvas import Panel, YardstickError, claim_yardstick, render, save_figure
from analysis.plots.figures import FIGURES
from analysis.plots.fits import ForestRow, draw_forest, draw_multiplier, draw_residuals
from analysis.plots.isoflop import draw_isoflop, draw_optimal, draw_unfitted
from analysis.plots.runs import draw_bits_per_byte, draw_curves, draw_loss_over_flops
from analysis.study import Study, make_study
from analysis.style import PAPER, arm_marks, flops
from analysis.table import Table, load_table
from analysis.values import Flag
from tests.planted_sweep import BUDGETS, LAWS, write_sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return load_table(folder)


@pytest.fixture(scope="module")
def study(folder: Path, table: Table) -> Study:
    return make_study(folder, table, n_boot=100, with_checks=False)


@pytest.fixture
def ax() -> Axes:
    return Figure().add_subplot()


def drawn_points(ax: Axes) -> set[tuple[float, float]]:
    """Every finite point of every line on the Axes, rounded to nine digits."""
    found = set()
    for line in ax.get_lines():
        if line.get_transform() != ax.transData:
            continue  # lines across the Axes, such as zero
        for x, y in np.column_stack(line.get_data()).astype(float):
            if np.isfinite([x, y]).all():
                found.add((float(f"{x:.9g}"), float(f"{y:.9g}")))
    return found


def in_data(data: pd.DataFrame) -> set[tuple[float, float]]:
    pairs = data[["x", "y"]].dropna().to_numpy(float)
    return {(float(f"{x:.9g}"), float(f"{y:.9g}")) for x, y in pairs}


def test_a_masked_and_a_causal_loss_never_share_an_axis(ax: Axes, table: Table) -> None:
    with pytest.raises(YardstickError, match=r"mlm@0\.15, clm on one axis"):
        draw_loss_over_flops(ax, table)
    with pytest.raises(YardstickError):
        draw_curves(Figure().add_subplot(), table)


def test_an_axis_keeps_its_yardstick_from_call_to_call(ax: Axes, table: Table) -> None:
    draw_loss_over_flops(ax, table.select(group="encoder"))
    with pytest.raises(YardstickError, match="one panel per arm"):
        draw_loss_over_flops(ax, table.select(group="decoder"))
    assert "masked-token" in ax.get_ylabel()


def test_bits_per_byte_share_an_axis_and_bounds_are_marked(ax: Axes, table: Table) -> None:
    marks = arm_marks(table.groups)
    data = draw_bits_per_byte(ax, table.frame, marks, c="train_flops", c_label="C")
    handles, labels = ax.get_legend_handles_labels()
    faces = dict(zip(labels, [handle.get_markerfacecolor() for handle in handles], strict=True))
    assert faces == {
        "encoder (≤, upper bound)": PAPER,
        "decoder (exact)": marks["decoder"].colour,
    }
    assert in_data(data) == {
        (float(f"{x:.9g}"), float(f"{y:.9g}"))
        for x, y in table.frame[["train_flops", "bits_per_byte"]].to_numpy(float)
    }


def test_no_loss_at_all_is_no_yardstick(ax: Axes) -> None:
    with pytest.raises(YardstickError, match="none"):
        claim_yardstick(ax, [])


@pytest.mark.parametrize("group", list(LAWS))
def test_data_of_curves_is_what_is_drawn(ax: Axes, table: Table, group: str) -> None:
    assert in_data(draw_curves(ax, table.select(group=group))) == drawn_points(ax)


def test_data_of_loss_over_flops_is_what_is_drawn(ax: Axes, study: Study) -> None:
    arm = study.arms["decoder"]
    assert in_data(draw_loss_over_flops(ax, arm.table, arm.envelope)) == drawn_points(ax)


def test_data_of_residuals_is_what_is_drawn(ax: Axes, study: Study) -> None:
    fit = study.arms["decoder"].fit
    assert fit is not None
    data = draw_residuals(ax, fit, study.arms["decoder"].table)
    assert in_data(data) == drawn_points(ax)
    runs = data[data["element"] == "run"]
    expected = 100 * (fit.used["loss"] / fit.used["fitted"] - 1)
    assert sorted(runs["y"]) == pytest.approx(sorted(expected))


def test_residuals_are_grouped_by_the_budgets_of_the_grid(ax: Axes, study: Study) -> None:
    arm = study.arms["decoder"]
    assert arm.fit is not None
    # Where the head or attention counts, 6ND drifts with the size and splits the budgets.
    used = arm.fit.used.assign(d=lambda f: f["d"] * np.where(f["n"] < 1e5, 0.7, 1.0))
    data = draw_residuals(ax, dataclasses.replace(arm.fit, used=used), arm.table)
    assert set(data[data["element"] == "run"]["series"]) == {flops(b) for b in BUDGETS}
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [flops(b) for b in BUDGETS]


def test_a_band_without_an_end_runs_to_the_edge(ax: Axes, study: Study) -> None:
    assert study.bits is not None
    (found,) = study.bits.multipliers.values()
    endless = dataclasses.replace(found, high=np.full_like(found.high, np.inf))
    data = draw_multiplier(ax, endless, study.arms[found.group].mark, "C")
    (band,) = ax.collections
    top = band.get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(ax.get_ylim()[1])
    edge = [line for line in ax.get_lines() if line.get_marker() == "^"]
    assert len(edge[0].get_xdata()) > 2  # type: ignore[arg-type]
    assert edge[0].get_markerfacecolor() == PAPER
    assert set(data["note"]) == {"no upper end"}
    bits = dataclasses.replace(study.bits, multipliers={found.group: endless})
    drawing = FIGURES["multiplier"](dataclasses.replace(study, bits=bits))
    assert drawing is not None
    assert f"The band of {found.group} has no upper end anywhere" in drawing.caption
    closed = FIGURES["multiplier"](study)
    assert closed is not None
    assert np.isfinite(found.high).all()
    assert "no upper end" not in closed.caption


def test_no_arm_is_cut_by_the_axes_of_the_optima(study: Study) -> None:
    drawing = FIGURES["optimal"](study)
    assert drawing is not None
    figure, data = render(drawing.panels)
    for ax, panel in zip(figure.axes, drawing.panels, strict=True):
        low, high = ax.get_ylim()
        own = data[(data["panel"] == panel.name) & (data["element"] == "isoFLOP minimum")]
        assert own["series"].nunique() == 2
        ends = own[["y", "low", "high"]].to_numpy(float)
        assert low < np.nanmin(ends)
        assert np.nanmax(ends) < high
        figure.draw_without_rendering()
        legend = ax.get_legend()
        assert legend is not None
        bottom = ax.transData.inverted().transform(legend.get_window_extent().get_points())[0, 1]
        assert np.nanmax(ends) < bottom


def test_an_arm_far_from_the_first_is_not_cut(ax: Axes, study: Study) -> None:
    arm = study.arms["decoder"]
    assert arm.isoflop is not None
    far = dataclasses.replace(
        arm.isoflop,
        budgets=tuple(
            dataclasses.replace(b, params_opt=b.params_opt / 50, params_interval=None)
            for b in arm.isoflop.budgets
        ),
    )
    for result in (arm.isoflop, far):
        data = draw_optimal(ax, result, "params", arm.name, arm.mark)
        minima = data[data["element"] == "isoFLOP minimum"]["y"].astype(float)
        assert ax.get_ylim()[0] < minima.min()
        assert minima.max() < ax.get_ylim()[1]


def test_figures_mark_as_doubtful_what_the_tables_do(study: Study) -> None:
    arm = study.arms["decoder"]
    assert arm.fit is not None
    assert arm.isoflop is not None
    flag = Flag(code="on_bound", parameter="E", message="E = 0 (lower)")
    fit = dataclasses.replace(arm.fit, flags=(*arm.fit.flags, flag))
    approaches = tuple(
        dataclasses.replace(x, doubts=("E = 0 (lower)",)) if x.name == "Chinchilla law"
        else dataclasses.replace(x, doubts=("two budgets",)) if x.result is arm.isoflop
        else x for x in arm.agreement.approaches
    )  # fmt: skip
    doubted = dataclasses.replace(
        arm, fit=fit, agreement=dataclasses.replace(arm.agreement, approaches=approaches)
    )
    drawing = FIGURES["exponents"](dataclasses.replace(study, arms={"decoder": doubted}))
    assert drawing is not None
    _, data = render(drawing.panels)
    notes = dict(zip(data["element"], data["note"].fillna(""), strict=True))
    assert notes == {
        "decoder\nisoFLOP": "doubtful", "decoder\nloss surface": "doubtful",
        "α, decoder\nloss surface": "", "β, decoder\nloss surface": "",
    }  # fmt: skip


def test_isoflop_draws_the_minimum_where_the_result_has_it(ax: Axes, study: Study) -> None:
    result = study.arms["decoder"].isoflop
    assert result is not None
    data = draw_isoflop(ax, result)
    minima = data[data["element"] == "minimum"]
    assert list(minima["x"]) == [budget.params_opt for budget in result.budgets]
    stars = [line for line in ax.get_lines() if line.get_marker() == "*"]
    assert [line.get_xdata()[0] for line in stars] == list(minima["x"])  # type: ignore[index]


def test_refused_budgets_are_hollow_and_say_why(ax: Axes, table: Table) -> None:
    own = table.select(group="decoder")
    # Without the two smaller sizes the lowest loss of the small budgets lies at an end.
    short = own.exclude((own.frame["params_total"] < 2e5) & (own.frame["budget_flops"] < 4e12), "")
    result = isoflop(short, method="akima", n_boot=100)
    assert len(result.refused) == 1
    reason = result.refused[0].reason
    data = draw_isoflop(ax, result)
    refused = data[data["element"] == "refused"]
    assert set(refused["note"]) == {reason}
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == PAPER]
    assert [tuple(line.get_xdata()) for line in hollow] == [tuple(refused["x"])]
    remarks = " ".join(text.get_text() for text in ax.texts)
    assert reason in " ".join(remarks.split())


def test_an_arm_without_minima_is_drawn_hollow_with_the_reason(ax: Axes, table: Table) -> None:
    own = table.select(group="decoder")
    data = draw_unfitted(ax, own, "no budget has a minimum")
    assert in_data(data) == drawn_points(ax)
    assert len(data) == len(own.frame)
    assert all(line.get_markerfacecolor() == PAPER for line in ax.get_lines())
    assert [text.get_text() for text in ax.texts] == ["no budget has a minimum"]


def test_a_multiplier_without_end_leaves_its_place_empty(ax: Axes, study: Study) -> None:
    assert study.bits is not None
    (found,) = study.bits.multipliers.values()
    value = found.value.copy()
    value[:3] = np.inf
    endless = dataclasses.replace(found, value=value, high=np.full_like(value, np.inf))
    data = draw_multiplier(ax, endless, study.arms[found.group].mark, "C")
    assert in_data(data) == drawn_points(ax)
    assert data["y"].isna().sum() == 3
    never = dataclasses.replace(found, value=np.full_like(value, np.inf))
    bits = dataclasses.replace(study.bits, multipliers={found.group: never})
    assert FIGURES["multiplier"](dataclasses.replace(study, bits=bits)) is None


def test_power_law_of_the_minima_goes_through_the_result(ax: Axes, study: Study) -> None:
    arm = study.arms["decoder"]
    assert arm.isoflop is not None
    data = draw_optimal(ax, arm.isoflop, "params", arm.name, arm.mark, optima=arm.optima)
    line = data[data["element"] == "power law of the minima"]
    slope = np.polyfit(np.log(line["x"].astype(float)), np.log(line["y"].astype(float)), 1)[0]
    assert slope == pytest.approx(arm.isoflop.exponents["a"].value)
    band = data[data["element"] == "optimum of the fitted law"]
    assert (band["low"] <= band["y"]).all()
    assert (band["y"] <= band["high"]).all()


def test_forest_cuts_an_endless_interval_with_an_arrow(ax: Axes) -> None:
    rows = [
        ForestRow(label="one", series="s", value=0.5, low=0.4, high=0.6),
        ForestRow(label="two", series="s", value=0.5, low=0.4, high=0.6),
        ForestRow(label="endless", series="s", value=0.5, low=0.4, high=1e6, doubt="flagged"),
    ]
    data = draw_forest(ax, rows, arm_marks(["s"]), x_label="a")
    assert ax.get_xlim()[1] < 2
    assert [line.get_marker() for line in ax.get_lines()].count(">") == 1
    assert list(data["high"]) == [0.6, 0.6, 1e6]
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == PAPER]
    assert len(hollow) == 1


def test_every_loss_axis_of_a_study_names_one_yardstick(study: Study) -> None:
    for name in ("isoflop", "loss-over-flops", "curves"):
        drawing = FIGURES[name](study)
        assert drawing is not None
        figure, data = render(drawing.panels)
        labels = [" ".join(ax.get_ylabel().split()) for ax in figure.axes]
        assert labels == [
            "masked-token cross-entropy at 15 %, nats per target",
            "next-token cross-entropy, nats per target",
        ]
        assert data["panel"].nunique() == 2


def test_every_axis_is_labelled_and_every_panel_has_words(study: Study) -> None:
    made = {name: make(study) for name, make in FIGURES.items()}
    assert [name for name, drawing in made.items() if drawing is None] == ["learning-rate"]
    for drawing in filter(None, made.values()):
        figure, _ = render(drawing.panels)
        for ax, panel in zip(figure.axes, drawing.panels, strict=True):
            assert ax.get_xlabel()
            assert ax.get_ylabel() or drawing.name == "exponents"
            assert len(panel.alt) > 20
            assert re.fullmatch(r"[A-Za-z0-9-]+", panel.name)


def test_saved_files_are_equal_for_equal_input(tmp_path: Path, study: Study) -> None:
    drawing = FIGURES["isoflop"](study)
    assert drawing is not None
    for folder in ("one", "two"):
        save_figure(*render(drawing.panels), tmp_path / folder, "isoflop")
    for suffix in ("svg", "png", "csv"):
        one, two = ((tmp_path / f / f"isoflop.{suffix}").read_bytes() for f in ("one", "two"))
        assert one == two


def test_a_saved_svg_asks_no_host_and_has_no_date(tmp_path: Path, study: Study) -> None:
    drawing = FIGURES["optimal"](study)
    assert drawing is not None
    svg_path, png_path, csv_path = save_figure(*render(drawing.panels), tmp_path, "optimal")
    svg = svg_path.read_text()
    # What is left are the names of XML name spaces and of the document type.
    hosts = re.findall(r"(?:href|src|url\()\s*=?\s*[\"'(]?\s*(?:https?:)?//", svg)
    assert hosts == []
    assert "<image" not in svg
    assert "dc:date" not in svg
    assert "<text" in svg
    assert matplotlib.image.imread(png_path).shape[1] > 1000
    assert in_data(pd.read_csv(csv_path)) == in_data(render(drawing.panels)[1])


def test_panel_that_draws_nothing_leaves_an_empty_table() -> None:
    empty = pd.DataFrame(columns=["series", "x", "y"])
    _, data = render([Panel(name="p", title="t", alt="", draw=lambda _: empty)])
    assert len(data) == 0
