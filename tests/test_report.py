"""The report: one file, no host, every reason on the page, every text of the user escaped."""

from __future__ import annotations

import base64
import datetime
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.plots.canvas import render
from analysis.plots.figures import FIGURES
from analysis.report.inline_svg import inline_svg
from analysis.report.page import report_html, write_report
from analysis.report.run_tables import seeds_table
from analysis.study import Study, make_study
from analysis.style import CSS_VARIABLES, number
from analysis.table import load_table
from tests.planted_sweep import write_sweep

DAY = datetime.date(2026, 1, 2)
HOSTILE = "<script>alert(1)</script>"
_VOID = {"meta", "link", "br", "img", "use", "path", "input"}


def study_of(folder: Path) -> Study:
    return make_study(folder, load_table(folder), n_boot=100)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(write_sweep(tmp_path_factory.mktemp("runs"), label=HOSTILE))


@pytest.fixture(scope="module")
def html(study: Study) -> str:
    return report_html(study, today=DAY)


class Page(HTMLParser):
    """Attributes, ids, headings and the text of a page; asserts that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute))]


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_nothing_is_asked_of_another_host(html: str, page: Page) -> None:
    assert "://" not in html
    targets = page.values("href") + page.values("src")
    local = ("#", "data:text/csv;base64,", "data:application/gzip;base64,")
    assert all(target.startswith(local) for target in targets)
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_a_label_of_the_user_is_text(html: str, page: Page, study: Study) -> None:
    assert HOSTILE in set(study.table.frame["size"])
    assert HOSTILE not in html
    assert HOSTILE in page.text


def test_an_arm_with_a_hostile_name_is_text(study: Study) -> None:
    frame = study.table.frame.assign(group=study.table.frame["group"].replace("encoder", HOSTILE))
    frame = frame.drop(columns=["run_id", "sweep", "status", "size", "objective"])
    table = load_table(frame.drop(columns="bits_per_byte"))
    page_html = report_html(
        make_study(Path("runs.csv"), table, n_boot=100, with_checks=False), today=DAY
    )
    assert HOSTILE not in page_html
    assert HOSTILE in Page(page_html).text


def test_every_unused_cell_stands_on_the_page_with_its_reason(page: Page, study: Study) -> None:
    excluded = study.table.excluded
    assert len(excluded) == 4
    for text in (*excluded["run_id"], *excluded["reason"]):
        assert " ".join(str(text).split()) in page.text


def test_every_refused_budget_stands_on_the_page_with_its_reason(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path))
    # Without the two smaller sizes the lowest loss of the small budgets lies at an end.
    small = (table.frame["params_total"] < 2e5) & (table.frame["budget_flops"] < 4e12)
    short = table.exclude((table.frame["group"] == "decoder") & small, "left out")
    short = short.select(group="decoder")
    study = make_study(tmp_path / "planted", short, n_boot=100, with_checks=False)
    refused = [b for arm in study.arms.values() if arm.isoflop for b in arm.isoflop.refused]
    assert refused
    text = Page(report_html(study, today=DAY)).text
    assert all(budget.reason in text for budget in refused)


def test_flags_of_fits_and_comparisons_stand_on_the_page(page: Page, study: Study) -> None:
    fits = [arm.fit for arm in study.arms.values() if arm.fit]
    flags = [flag for fit in fits for flag in fit.flags]
    assert study.comparison is not None
    assert study.bits is not None
    flags += [flag for flag in (*study.comparison.flags, *study.bits.flags)
              if flag.severity != "note"]  # fmt: skip
    assert len(flags) > 2
    for flag in flags:
        assert " ".join(flag.message.split()) in page.text


def test_the_verdict_stands_first_and_says_what_is_not_compared(page: Page) -> None:
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings.count("h1") == 1
    levels = [int(tag[1]) for tag in headings]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    text = page.text
    assert text.index("What they do not show") < text.index("The arms side by side")
    assert "the losses are not on one yardstick (encoder: mlm@0.15, decoder: clm)" in text
    assert "≤ " in text  # bits per byte of the masked arm are an upper bound


def test_every_drawing_has_a_name_and_a_description(page: Page) -> None:
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(drawings) >= 12
    known = set(page.values("id"))
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert set(str(attrs["aria-labelledby"]).split()) <= known
    captions = [tag for tag, _ in page.tags if tag in ("figcaption", "caption")]
    figures = [tag for tag, _ in page.tags if tag in ("figure", "table")]
    assert len(captions) == len(figures)


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    inner = [href[1:] for href in page.values("href") if href.startswith("#")]
    assert inner
    assert set(inner) <= set(ids)


def test_colours_of_drawings_follow_the_page(html: str) -> None:
    body = html[html.index("<body") :]
    for colour, variable in CSS_VARIABLES.items():
        assert colour not in body
        assert len(re.findall(rf"{variable}: #", html)) >= 2, f"{variable} has light and dark"
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_the_data_of_a_figure_is_on_the_page(page: Page, study: Study) -> None:
    links = {str(attrs["download"]): str(attrs["href"]) for tag, attrs in page.tags
             if tag == "a" and attrs.get("download")}  # fmt: skip
    drawing = FIGURES["residuals"](study)
    assert drawing is not None
    _, data = render(drawing.panels)
    carried = base64.b64decode(links["residuals.csv"].partition(",")[2]).decode()
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(carried)), pd.read_csv(io.StringIO(data.to_csv(index=False)))
    )


def test_settings_and_provenance_stand_on_the_page(page: Page) -> None:
    for text in ("c0ffee1234567890", "0123abc", "cpu (2 cores)", "torch 2.13.0", "method: grid"):
        assert text in page.text


def test_equal_studies_give_equal_pages_but_for_the_date(
    study: Study, html: str, tmp_path: Path
) -> None:
    path = write_report(study, tmp_path / "deep" / "report", today=datetime.date(2026, 1, 3))
    other = path.read_text(encoding="utf-8")
    assert other != html
    assert other.replace("2026-01-03", "2026-01-02") == html
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_repeated_seeds_are_summarised(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path, seeds=2))
    view = seeds_table(table)
    assert view is not None
    cells = table.frame.groupby(["group", "params_total", "budget_flops"])["loss_nats"]
    expected = [number(value, 2) for value in cells.std(ddof=1)[cells.size() == 2]]
    assert sorted(row[-1].text for row in view.rows) == sorted(expected)
    assert seeds_table(table.exclude(table.frame["seed"] == 1, "one seed")) is None


def test_inlining_keeps_two_drawings_apart() -> None:
    svg = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt" '
        'xmlns:xlink="http://www.w3.org/1999/xlink"><defs><clipPath id="c"/></defs>'
        '<use xlink:href="#c" clip-path="url(#c)"/></svg>'
    )
    one = inline_svg(svg, name="one", title="A < B", description="d")
    assert 'id="one-c"' in one
    assert 'href="#one-c" clip-path="url(#one-c)"' in one
    assert "A &lt; B" in one
    assert "http" not in one
    assert "width" not in one
