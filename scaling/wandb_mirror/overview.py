"""One W&B run for each sweep: a table with the state of every cell, and the files of the sweep.

Cells that are pending, excluded or damaged are no runs of W&B; here they are seen, with reasons.
Whoever reads the project back finds the listing, so that nothing of the sweep is missing there.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scaling.store import Store
from scaling.wandb_mirror.project import Project
from scaling.wandb_mirror.sent import Sent
from scaling.wandb_mirror.upload import online_run, sending

JOB_TYPE = "sweep"
STATES = "states"
FILES = ("cells.json", "sweep.yaml")
_COLUMNS = ("run_id", "what", "size", "train_tokens", "train_flops_budget", "seed", "state",
            "reason")  # fmt: skip


def overview_id(sweep: str) -> str:
    return f"sweep-{sweep}"


def send_overviews(store: Store, sweeps: Iterable[str], project: Project, sent: Sent) -> None:
    """Sends the overview of each sweep that has changed since."""
    for sweep in sweeps:
        rows = state_rows(store, sweep)
        folder = store.sweep_folder(sweep)
        files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
        wanted = hashlib.sha256(json.dumps(rows).encode() + b"".join(files.values())).hexdigest()
        if sent.digest(overview_id(sweep)) == wanted:
            continue
        with sending(store.root), tempfile.TemporaryDirectory(prefix="scaling-sync-") as place:
            _send(sweep, rows, files, project, Path(place))
        sent.confirm(overview_id(sweep), wanted)


def state_rows(store: Store, sweep: str) -> list[list[Any]]:
    """One row for each cell of the sweep, the excluded ones too; columns are those of the table."""
    cells = store.sweep_cells(sweep)
    states = store.states(cell["run_id"] for cell in cells if not cell["excluded"])
    rows = []
    for cell in cells:
        labels, spec = cell["labels"], cell.get("spec") or {}
        state = "excluded" if cell["excluded"] else states[cell["run_id"]]
        needs_reason = state not in ("done", "pending", "running")
        reason = cell["excluded"] or (store.reason(cell["run_id"]) if needs_reason else None)
        budget = labels.get("train_flops")
        what = spec.get("measurement") or labels.get("arm") or labels.get("arch")
        rows.append([
            cell["run_id"] or "", str(what or ""),
            str(labels.get("size") or ""), int(spec.get("train_tokens") or 0),
            float(budget) if budget is not None else None, int(labels.get("seed") or 0), state,
            reason or "",
        ])  # fmt: skip
    return rows


def _send(
    sweep: str, rows: list[list[Any]], files: dict[str, bytes], project: Project, place: Path
) -> None:
    import wandb

    arguments = {
        "id": overview_id(sweep),
        "name": f"sweep {sweep}",
        "group": sweep,
        "job_type": JOB_TYPE,
        "tags": ["overview"],
        "config": {"sweep": sweep},
        "resume": "allow",
    }
    counts = Counter(row[_COLUMNS.index("state")] for row in rows)
    with online_run(project, arguments) as run:
        run.log({STATES: wandb.Table(columns=list(_COLUMNS), data=[*rows])})
        run.summary.update({f"states/{state}": count for state, count in counts.items()})
        for name, content in files.items():
            path = place / name
            path.write_bytes(content)
            run.save(str(path), base_path=str(place), policy="now")
