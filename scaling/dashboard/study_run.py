"""The W&B run that holds what was fitted to a sweep: tables of fits and optima, and the figures.

W&B fits no law, so the rows are logged ready made; who fits is `analysis`, which hands over plain
tables (see `Outline`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.wandb_mirror.project import Project
from scaling.wandb_mirror.upload import online_run

JOB_TYPE = "study"
FITS, OPTIMA = "tables/fits", "tables/optima"
# Figure of `scaling plot` -> its title.
FIGURES = {
    "isoflop": "IsoFLOP profiles",
    "optimal": "N* over C, with the fitted laws",
    "exponents": "exponents by every approach",
    "bits-per-byte": "bits per byte over C",
}


def figure_key(name: str) -> str:
    return f"figures/{name.replace('-', '_')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """A study in plain values.

    Attributes:
        sentences: the verdicts.
        tables: `fits` and `optima` -> rows of the same columns.
        missing: what could not be made -> why.
        figures: name of a figure -> its PNG.
    """

    sentences: Sequence[str]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    missing: Mapping[str, str]
    figures: Mapping[str, Path]


def study_id(sweep: str) -> str:
    return f"study-{sweep}"


def send_study(sweep: str, outline: Outline, project: Project) -> None:
    """Logs the tables and figures of a study; the run of an earlier push goes on."""
    import wandb

    arguments = {
        "id": study_id(sweep),
        "name": f"study of {sweep}",
        "group": sweep,
        "job_type": JOB_TYPE,
        "tags": ["study"],
        "config": {"sweep": sweep},
        "resume": "allow",
    }
    with online_run(project, arguments) as run:
        row: dict[str, Any] = {}
        for key, rows in ((FITS, outline.tables["fits"]), (OPTIMA, outline.tables["optima"])):
            if rows:
                columns: list[Any] = list(rows[0])
                row[key] = wandb.Table(
                    columns=columns, data=[[r[column] for column in columns] for r in rows]
                )
        for name, path in outline.figures.items():
            row[figure_key(name)] = wandb.Image(str(path))
        run.log(row)
