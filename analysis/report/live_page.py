"""The page that `scaling serve` shows: the report of a sweep, or why there is none yet.

`python -m analysis.report.live_page FOLDER PAGE` writes it whole or not at all, at low priority,
because the machine may be training.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.report.page import report_html
from analysis.report.page_template import render_page
from analysis.study import N_BOOT, make_study
from analysis.table import load_table

_NICENESS = 10
_QUICK_DRAWS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What the page says while there is no report."""

    title: str
    reason: str


def live_page(folder: Path, *, quick: bool) -> str:
    """The report of the sweep in `folder` as HTML, or a page with the reason for none.

    Args:
        quick: fewer bootstrap draws, and no verdicts under other choices, hold-out or next runs.
    """
    try:
        table = load_table(folder)
        study = make_study(
            folder, table, n_boot=_QUICK_DRAWS if quick else N_BOOT, with_checks=not quick
        )
        return report_html(study)
    except AnalysisError as error:
        return waiting_page(folder, str(error))


def waiting_page(folder: Path, reason: str) -> str:
    return render_page("waiting.html.j2", Waiting(title=folder.name, reason=reason))


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page; a reader of the file sees the old one or the new one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    if not given.page.exists():
        _write(given.page, waiting_page(given.folder, "it is being made"))
    _write(given.page, live_page(given.folder, quick=given.quick))


def _write(page: Path, html: str) -> None:
    fresh = page.with_suffix(".new")
    fresh.write_text(html, encoding="utf-8")
    os.replace(fresh, page)


if __name__ == "__main__":
    main()
