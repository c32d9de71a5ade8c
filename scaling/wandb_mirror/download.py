"""Reads a W&B project back as a folder of the store's form, for `scaling fit --from wandb:...`.

Every record is held against the checksum under which it was sent; a run that has none yet, or whose
rows do not add up to it, is listed with its reason and enters nothing. Rows come from the full
history, never from the sample that W&B draws.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.cell_files import RECORD
from scaling.cell_read import CellRecord, CellSpec
from scaling.errors import DamagedFile, TrackingError
from scaling.evaluation_cell import EvaluationSpec, is_evaluation
from scaling.files import write_atomic
from scaling.listing import read_listing
from scaling.spec import RunSpec
from scaling.store import Store, check_sweep_name
from scaling.wandb_mirror import content, overview
from scaling.wandb_mirror.listing import cell_of, runs_of
from scaling.wandb_mirror.project import Project, require_key, unreachable
from scaling.wandb_mirror.upload import sending

_HISTORY_PAGE = 10_000


@dataclass(kw_only=True, slots=True)
class _Found:
    """What a project holds of the cells asked for.

    Attributes:
        listed: run id -> its entry of cells.json.
        left_out: points that the sweep excludes.
        unread: run id -> why its record could not be read whole.
        source: the sweep file, which tells the limits of the grid; None for several sweeps.
    """

    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    source: str | None = None


def read_project(project: Project, root: Path) -> Path:
    """Mirrors the project under `<root>/wandb/read/ENTITY/PROJECT/`.

    Returns:
        The folder of a sweep there, with cells.json; what was read before is not read again.
    Raises:
        TrackingError: the server does not answer, or the project holds no run of a cell.
    """
    require_key()
    base = root / "wandb" / "read" / project.entity / project.project
    store = Store(base)
    name = check_sweep_name(project.sweep or project.project)
    with sending(root):
        runs = list(runs_of(project))
        by_cell: dict[str, list[Any]] = {}
        for run in runs:
            run_id = cell_of(run)
            if run_id and (project.sweep is None or project.sweep in _sweeps_of(run)):
                by_cell.setdefault(run_id, []).append(run)
        if not by_cell:
            where = f"sweep {project.sweep} of {project.path}" if project.sweep else project.path
            raise TrackingError(
                f"{where} holds no runs of this suite; `scaling sync --project {project.path}` "
                "sends them"
            )
        found = _Found()
        for run_id, candidates in by_cell.items():
            found.listed[run_id] = _entry(run_id, candidates[-1])
            if trouble := _take(store, run_id, candidates):
                found.unread[run_id] = trouble
        overviews = [run for run in runs if _is_overview(run, project)]
        for run in overviews:
            _add_overview(run, found, is_only_one=len(overviews) == 1)
    for run_id, reason in found.unread.items():
        found.listed[run_id] = found.listed[run_id] | {"unread": reason}
    source = found.source or f"name: {name}\nmethod: grid\nparameters: {{}}\n"
    return store.write_sweep(name, source, [*found.listed.values(), *found.left_out])


def _sweeps_of(run: Any) -> list[str]:
    many = run.config.get("sweeps")
    return [*map(str, many if isinstance(many, list) else []), str(run.config.get("sweep"))]


def _entry(run_id: str, run: Any) -> dict[str, Any]:
    labels = run.config.get("labels")
    try:
        spec: dict[str, Any] | None = _spec_of(run).to_dict()
    except (KeyError, TypeError, ValueError):
        spec = None  # the record has it
    return {
        "run_id": run_id,
        "labels": labels if isinstance(labels, dict) else {},
        "depends_on": None,
        "excluded": None,
        "spec": spec,
    }


def _spec_of(run: Any) -> CellSpec:
    kind: type[RunSpec] | type[EvaluationSpec] = RunSpec
    if is_evaluation(run.config):
        kind = EvaluationSpec
    fields = kind.__dataclass_fields__
    return kind.from_dict({k: v for k, v in run.config.items() if k in fields})


def _take(store: Store, run_id: str, candidates: Iterable[Any]) -> str | None:
    """Puts the record of the cell into the mirror, from whichever of its runs has it whole.

    Returns:
        Why no run that says it has one could be taken; None where all is well.
    """
    record_path = store.folder(run_id) / RECORD
    sent = {run.summary.get(content.RECORD_CHECKSUM): run for run in candidates}
    known = _known(store, run_id)
    if known is not None and content.checksum_of(known) in sent:
        return None
    record_path.unlink(missing_ok=True)
    trouble: str | None = None
    for checksum, run in sent.items():
        if checksum is None:
            continue  # it has not ended
        try:
            record = content.record_of(run.summary, _rows(run))
            if not record.run_id == record.spec.run_id == run_id:
                raise TrackingError(f"it holds the record of {record.spec.run_id}")
        except TrackingError as error:
            trouble = f"W&B run {run.id}: {error}"
            continue
        store.add(record.spec)
        write_atomic(record_path, record.to_json())
        return None
    return trouble


def _known(store: Store, run_id: str) -> CellRecord | None:
    try:
        return store.record(run_id)
    except (DamagedFile, ValueError):
        return None


def _rows(run: Any) -> list[dict[str, Any]]:
    try:
        return list(run.scan_history(page_size=_HISTORY_PAGE, use_cache=False))
    except Exception as error:
        raise unreachable(error) from None


def _is_overview(run: Any, project: Project) -> bool:
    wanted = project.sweep is None or run.config.get("sweep") == project.sweep
    return bool(wanted and run.job_type == overview.JOB_TYPE)


def _add_overview(run: Any, found: _Found, *, is_only_one: bool) -> None:
    """Adds what no run of W&B stands for: pending cells and those that a sweep excludes."""
    with tempfile.TemporaryDirectory(prefix="scaling-read-") as place:
        try:
            for file in run.files(names=list(overview.FILES)):
                file.download(root=place, replace=True).close()
        except Exception as error:
            raise unreachable(error) from None
        if not all(Path(place, file).is_file() for file in overview.FILES):
            return  # its sending broke off
        cells = read_listing(Path(place, "cells.json"))
        source = Path(place, "sweep.yaml").read_text(encoding="utf-8")
    found.source = source if is_only_one else None
    for cell in cells:
        if cell.get("excluded"):
            found.left_out.append(cell)
        elif cell.get("run_id"):
            found.listed[str(cell["run_id"])] = cell
