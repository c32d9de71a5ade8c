"""The runs that a W&B project holds of our cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from scaling.wandb_mirror.content import RECORD_CHECKSUM
from scaling.wandb_mirror.project import Project, unreachable

_RUN_ID = re.compile(r"[0-9a-f]{16}")
_PAGE = 100


def cell_of(run: Any) -> str | None:
    """The run id of the cell; an agent of W&B gives its runs ids of its own."""
    run_id = run.config.get("run_id")
    return run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None


def digest_of(run: Any) -> str | None:
    """What the run holds, as `scaling.wandb_mirror.upload` makes the digest of a cell."""
    checksum, sweeps = run.summary.get(RECORD_CHECKSUM), run.config.get("sweeps")
    if not isinstance(checksum, str) or not isinstance(sweeps, list):
        return None
    return digest(checksum, map(str, sweeps))


def digest(checksum: str, sweeps: Any) -> str:
    return " ".join([checksum, *sorted(sweeps)])


def runs_of(project: Project) -> Iterator[Any]:
    """All runs of the project, with config and summary; none where there is no such project.

    Raises:
        TrackingError: the server does not answer.
    """
    import wandb

    try:
        found = wandb.Api(timeout=60).runs(project.path, per_page=_PAGE, lazy=False)
        yield from found
    except ValueError as error:
        # The client knows no other way to say so.
        if "could not find project" not in str(error).lower():
            raise unreachable(error) from None
    except Exception as error:
        raise unreachable(error) from None
