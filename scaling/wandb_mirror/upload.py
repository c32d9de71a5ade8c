"""Sends what a store holds to a W&B project: every cell that has ended, once.

What the server has confirmed is noted in the store; of the rest it is asked what it holds. A run
that it has in part, because training logged it there or an earlier sending broke off, goes on
after the last row that arrived. The store is only read, but for the notes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.cell_read import CellRecord
from scaling.errors import DamagedFile, StoreError, TrackingError
from scaling.store import Store
from scaling.wandb_mirror.arguments import run_arguments
from scaling.wandb_mirror.content import (
    RECORD_CHECKSUM,
    TOKENS,
    checksum_of,
    final_summary,
    rows_of,
)
from scaling.wandb_mirror.listing import cell_of, digest, digest_of, runs_of
from scaling.wandb_mirror.project import Project, unreachable
from scaling.wandb_mirror.sent import Sent
from scaling.wandb_writer import COUNTERS, in_use, quiet_settings

# A server may show what it took a little later.
_CONFIRM_SECONDS = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A cell of the store and where it belongs.

    Attributes:
        sweeps: names of the sweeps that contain it, the one of its labels first; none for a cell
            that an agent trained alone.
    """

    run_id: str
    sweeps: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return self.sweeps[0] if self.sweeps else "cells"


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of the cells: sent now, held before, not ended yet, unreadable (with reason)."""

    sent: int = 0
    held: int = 0
    not_ended: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def members(store: Store, sweep: str | None) -> list[Member]:
    """The cells of a sweep, or all of the store, each once and with all of its sweeps."""
    found: dict[str, Member] = {}
    names = store.sweeps()
    if sweep is not None and sweep not in names:
        store.sweep_cells(sweep)  # says which names there are
    for name in [sweep, *(n for n in names if n != sweep)] if sweep else names:
        for cell in store.sweep_cells(name):
            run_id = cell["run_id"]
            if cell["excluded"] or (sweep and name != sweep and run_id not in found):
                continue
            known = found.get(run_id)
            if known is None:
                found[run_id] = Member(run_id=run_id, sweeps=(name,), labels=cell["labels"])
            elif name not in known.sweeps:
                sweeps = (*known.sweeps, name)
                found[run_id] = Member(run_id=run_id, sweeps=sweeps, labels=known.labels)
    alone = [] if sweep else [run_id for run_id in store.run_ids() if run_id not in found]
    return [*found.values(), *(Member(run_id=run_id) for run_id in alone)]


def send_cells(
    store: Store, cells: Iterable[Member], project: Project, sent: Sent, *, say: Say
) -> Outcome:
    """Sends each cell that has ended and that the server does not hold.

    Raises:
        TrackingError: the server does not take what it is sent; what it took is noted.
    """
    outcome = Outcome()
    missing = list(_missing(store, cells, sent, outcome))
    if not missing:
        return outcome
    with sending(store.root):
        remote, api = _held(project), server_api()
        for member, record in missing:
            checksum = checksum_of(record)
            wanted = digest(checksum, member.sweeps or [member.group])
            run = remote.get(member.run_id)
            if run is not None and digest_of(run) == wanted:
                outcome.held += 1
            else:
                wandb_id = run.id if run is not None else member.run_id
                _send(record, member, project, wandb_id)
                _confirm(api, project, wandb_id, checksum)
                outcome.sent += 1
                say(f"{outcome.sent}: {member.run_id} {record.status}")
            sent.confirm(member.run_id, wanted)
    return outcome


def sending(root: Path) -> Any:
    """A context in which runs can be opened online."""
    return in_use(root, "online")


@contextmanager
def online_run(
    project: Project, arguments: Mapping[str, Any], *, exit_code: int = 0
) -> Iterator[Any]:
    """An open W&B run that ends with the block; raises TrackingError for what W&B refuses."""
    import wandb

    # What W&B writes beside is of no use afterwards: all of it is in the store.
    with tempfile.TemporaryDirectory(prefix="scaling-sync-") as folder:
        try:
            run = wandb.init(
                **arguments,
                entity=project.entity,
                project=project.project,
                dir=folder,
                reinit="create_new",
                settings=quiet_settings("online"),
            )
            try:
                yield run
            finally:
                run.finish(exit_code=exit_code)
        except Exception as error:
            raise unreachable(error) from error


def _missing(
    store: Store, cells: Iterable[Member], sent: Sent, outcome: Outcome
) -> Iterator[tuple[Member, CellRecord]]:
    """The cells with a record that the project is not known to hold."""
    for member in cells:
        try:
            record = store.record(member.run_id)
        except (DamagedFile, StoreError, ValueError) as error:
            outcome.unreadable[member.run_id] = str(error)
            continue
        if record is None:
            outcome.not_ended += 1
        elif sent.digest(member.run_id) == digest(
            checksum_of(record), member.sweeps or [member.group]
        ):
            outcome.held += 1
        else:
            yield member, record


def _held(project: Project) -> dict[str, Any]:
    """Cell -> its run on the server; of several, one with a whole record is taken."""
    found: dict[str, Any] = {}
    for run in runs_of(project):
        run_id = cell_of(run)
        if run_id and (run_id not in found or digest_of(found[run_id]) is None):
            found[run_id] = run
    return found


def _send(record: CellRecord, member: Member, project: Project, wandb_id: str) -> None:
    arguments = run_arguments(
        record.spec,
        run_id=record.run_id,
        sweep=member.group,
        labels=member.labels,
        sweeps=member.sweeps,
    )
    exit_code = int(record.status != "done")
    with online_run(project, arguments | {"id": wandb_id}, exit_code=exit_code) as run:
        fill(run, record)


def fill(run: Any, record: CellRecord) -> None:
    """Logs the rows that the run lacks, and the final values."""
    reached = run.summary.get(TOKENS)
    rows = rows_of(record)
    for key in COUNTERS:
        run.define_metric(key)
    for key in sorted({key for row in rows for key in row} - set(COUNTERS)):
        run.define_metric(key, step_metric=TOKENS)
    for row in rows:
        if not isinstance(reached, int) or row[TOKENS] > reached:
            run.log(row)
    run.summary.update(final_summary(record))


def server_api() -> Any:
    """The public API; raises TrackingError where the server does not answer."""
    import wandb

    try:
        return wandb.Api(timeout=30)
    except Exception as error:
        raise unreachable(error) from None


def _confirm(api: Any, project: Project, wandb_id: str, checksum: str) -> None:
    """Waits until the server shows what it was sent; raises TrackingError where it does not."""
    path = f"{project.path}/{wandb_id}"
    end = time.monotonic() + _CONFIRM_SECONDS
    while True:
        trouble: Exception | None = None
        try:
            api.flush()  # or it would answer from memory
            if api.run(path).summary.get(RECORD_CHECKSUM) == checksum:
                return
        except Exception as error:
            trouble = error
        if time.monotonic() > end:
            if trouble is not None:
                raise unreachable(trouble) from None
            raise TrackingError(
                f"W&B does not show {path} as it was sent; the same command tries again"
            )
        time.sleep(0.5)
