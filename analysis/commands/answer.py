"""`scaling answer`: what the records of a study say about one of the five questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.commands.say import say
from analysis.questions import QUESTIONS

if TYPE_CHECKING:
    from analysis.questions.answer import Answer

EPILOG = """\b
Examples:
  scaling answer q5
  scaling answer q5 --from runs/q5_cls --out figures/
  scaling answer all --out figures/
"""

ALL = "all"


@click.command(epilog=EPILOG)
@click.argument("question", type=click.Choice([*QUESTIONS, ALL]))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a sweep, such as runs/NAME.  [default: the records that come with the suite]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for tables and figures, one folder per question in it.  [default: none]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")
def answer(question: str, source: Path | None, out: Path | None, as_json: bool) -> None:
    """Answer QUESTION, one of those of docs/questions.md or `all`, from records.

    Each verdict says whether it is established, the effect with its interval, the seeds behind it
    and the conventions under which it would be another.
    """
    from analysis.errors import AnalysisError
    from analysis.questions.answer import load_question, write_answer
    from analysis.questions.table import read_question_table

    if question == ALL and source is not None:
        raise AnalysisError("--from is the study of one question; name the question")
    found = {}
    for name in _with_records() if question == ALL else [question]:
        folder = source or reference_folder(name)
        if not folder.is_dir() and source is None:
            raise AnalysisError(
                f"no study of {name} comes with the suite; run one of its sweeps (docs/questions.md"
                f" names them) and give its folder: scaling answer {name} --from runs/SWEEP"
            )
        found[name] = load_question(name)(read_question_table(folder))
    if as_json:
        print(json.dumps({name: _content(one) for name, one in found.items()}, indent=1))
    for name, one in found.items():
        if not as_json:
            _print(one)
        if out is not None:
            written = write_answer(one, out / name)
            if not as_json:
                say(f"written: {len(written)} files in {out / name}")


def reference_folder(name: str) -> Path:
    """The committed records of a question."""
    import analysis

    return Path(analysis.__file__).parent / "reference" / name


def _with_records() -> list[str]:
    """The questions whose study comes with the suite; says which do not."""
    known = [name for name in QUESTIONS if reference_folder(name).is_dir()]
    for name in QUESTIONS:
        if name not in known:
            click.echo(f"{name} is left out: no study of it comes with the suite", err=True)
    return known


def _print(found: Answer) -> None:
    say(found.question)
    for verdict in found.verdicts:
        say(f"- {verdict.sentence}")
    for note in _notes(found):
        say(f"note: {note}")
    for cell, why in found.excluded.items():
        say(f"not used: {cell}: {why}")


def _notes(found: Answer) -> list[str]:
    """Those of the answer, and what holds for every one."""
    said = f"{len(found.verdicts)} verdicts, each by a 95% interval of its own"
    return [f"{said}; none is corrected for their number", *found.notes]


def _content(found: Answer) -> dict[str, object]:
    verdicts = [
        {
            "claim": verdict.claim,
            "is_established": verdict.is_established,
            "is_contradicted": verdict.is_contradicted,
            "n_seeds": verdict.n_seeds,
            "flips": list(verdict.flips),
            "basis": verdict.basis,
            "value": verdict.estimate and verdict.estimate.value,
            "low": verdict.estimate and verdict.estimate.interval and verdict.estimate.interval.low,
            "high": verdict.estimate
            and verdict.estimate.interval
            and verdict.estimate.interval.high,
            "sentence": verdict.sentence,
        }
        for verdict in found.verdicts
    ]
    return {
        "question": found.question,
        "verdicts": verdicts,
        "notes": _notes(found),
        "excluded": dict(found.excluded),
    }
