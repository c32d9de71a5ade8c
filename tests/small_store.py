"""A store of a few finished cells, with the records that are committed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scaling.record import RunRecord
from scaling.store import Store

REFERENCE = Path(__file__).parents[1] / "analysis" / "reference"


def reference_cells(sweep: str = "quickstart") -> list[dict[str, Any]]:
    listing = json.loads((REFERENCE / sweep / "cells.json").read_bytes())
    return [cell for cell in listing["cells"] if not cell["excluded"]]


def reference_record(index: int = 0) -> RunRecord:
    run_id = reference_cells()[index]["run_id"]
    return RunRecord.read(REFERENCE / "cells" / run_id / "record.json")


def small_store(root: Path, n_done: int, *, n_pending: int = 0) -> Store:
    """The first cells of the quickstart study, and the same as a sweep, some without a record."""
    store = Store(root)
    cells = reference_cells()[: n_done + n_pending]
    left_out = {
        "run_id": None, "labels": {"arch": "encoder", "size": "25k", "seed": 0},
        "depends_on": None, "excluded": "steps=3 is under min_steps=250", "spec": None,
    }  # fmt: skip
    source = (REFERENCE / "quickstart" / "sweep.yaml").read_text()
    store.write_sweep("quickstart", source, [*cells, left_out])
    for cell in cells[:n_done]:
        folder = store.folder(cell["run_id"])
        shutil.copytree(REFERENCE / "cells" / cell["run_id"], folder)
    return store
