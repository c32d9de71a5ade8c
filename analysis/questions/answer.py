"""The answer to a question: verdicts with intervals, tables, figures, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.difference import excludes, signed
from analysis.errors import AnalysisError
from analysis.questions import QUESTIONS
from analysis.values import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.plots.canvas import Panel
    from analysis.questions.table import QuestionTable


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionVerdict:
    """One claim and what it rests on.

    Attributes:
        claim: what is said to be so, as a sentence; it is said only where it is established.
        estimate: the effect, with its interval.
        is_established: whether the interval leaves out what would make the claim wrong.
        is_contradicted: whether the interval leaves out all that would make the claim right.
        n_seeds: how many seeds the interval rests on.
        flips: conventions under which the verdict would be another, each in words.
        basis: how the interval was made, and of which runs.
    """

    claim: str
    estimate: Estimate | None
    is_established: bool
    n_seeds: int
    flips: tuple[str, ...] = ()
    basis: str = ""
    is_contradicted: bool = False

    @property
    def sentence(self) -> str:
        """The claim or its absence, with the number, its interval and what would change it."""
        against = " and contradicted" if self.is_contradicted else ""
        said = self.claim if self.is_established else f"not established{against}: {self.claim}"
        number = "no estimate"
        if self.estimate is not None:
            unit = f" {self.estimate.unit}" if self.estimate.unit else ""
            number = f"{self.estimate.name} {signed(self.estimate)}{unit}"
        basis = f", {self.basis}" if self.basis else ""
        seeds = f"{self.n_seeds} seed{'' if self.n_seeds == 1 else 's'}"
        flips = f"; another under: {'; '.join(self.flips)}" if self.flips else ""
        return f"{said}: {number} ({seeds}{basis}){flips}"


def judge(
    claim: str,
    estimate: Estimate,
    *,
    n_seeds: int,
    null: float = 0.0,
    above: bool = True,
    flips: Sequence[str] = (),
    basis: str = "",
) -> QuestionVerdict:
    """The verdict that the effect lies above (or below) `null`, by its interval."""
    on_its_side = estimate.value > null if above else estimate.value < null
    decided = excludes(estimate, null)
    return QuestionVerdict(
        claim=claim,
        estimate=estimate,
        is_established=on_its_side and decided,
        is_contradicted=decided and not on_its_side,
        n_seeds=n_seeds,
        flips=tuple(flips),
        basis=basis,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the records say about a question.

    Attributes:
        question: as people ask it.
        tables: name -> the numbers, written as CSV.
        figures: name -> the Axes of the figure; their `draw` returns what it drew, which is
            written as CSV beside the figure.
        notes: what a reader must know, such as published figures and limits of the study.
        excluded: cell -> why it is not used.
    """

    question: str
    verdicts: tuple[QuestionVerdict, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, tuple[Panel, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)


def load_question(name: str) -> Callable[[QuestionTable], Answer]:
    """The function that answers the question; raises AnalysisError for a name that is none."""
    if name not in QUESTIONS:
        raise AnalysisError(f"question {name!r} is unknown; known: {', '.join(QUESTIONS)}")
    module, _, attribute = QUESTIONS[name][0].partition(":")
    found: Callable[[QuestionTable], Answer] = getattr(import_module(module), attribute)
    return found


def write_answer(answer: Answer, folder: Path) -> list[Path]:
    """Writes tables as NAME.csv, and figures as NAME.svg, NAME.png and NAME.csv, what was drawn.

    Equal records give equal bytes.
    """
    from analysis.plots.canvas import render, save_figure

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in answer.tables.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False, float_format="%.10g")
        written.append(path)
    for name, panels in answer.figures.items():
        if name in answer.tables:
            raise AnalysisError(f"a table and a figure are both named {name!r}; rename one")
        figure, data = render(panels)
        written += save_figure(figure, data, folder, name)
    return written
