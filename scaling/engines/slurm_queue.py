"""What Slurm has of a sweep: the arrays that were submitted, and which of their tasks are left."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scaling.errors import EngineError
from scaling.files import write_atomic
from scaling.store import Store

SUBMISSIONS_SCHEMA_VERSION = 1

_ANSWER_SECONDS = 120.0
# A task in this state has run; were it requeued, it would soon be pending again.
_LEAVING = "COMPLETING"


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """An array that was submitted: its job id, its size, and the devices of each of its cells."""

    job_id: str
    tasks: int
    devices: int
    submitted_at: str


def read_submissions(store: Store, sweep: str) -> list[Submission]:
    """What was submitted for a sweep, the oldest first; raises EngineError for a strange list."""
    path = _record(store, sweep)
    try:
        table = json.loads(path.read_bytes())
        if table["schema_version"] != SUBMISSIONS_SCHEMA_VERSION:
            raise ValueError
        submissions = [Submission(**row) for row in table["submissions"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise EngineError(
            f"{path} is no list of submissions that this version of the suite wrote; "
            "see with squeue what runs, and move it away"
        ) from None
    return submissions


def write_submissions(store: Store, sweep: str, submissions: Sequence[Submission]) -> None:
    """Keeps the list for the next launch, on disk before anything else is submitted."""
    rows = [asdict(submission) for submission in submissions]
    table = {"schema_version": SUBMISSIONS_SCHEMA_VERSION, "submissions": rows}
    write_atomic(_record(store, sweep), json.dumps(table, indent=1) + "\n", durable=True)


def _record(store: Store, sweep: str) -> Path:
    return store.sweep_folder(sweep) / "slurm.json"


def tasks_of(submissions: Sequence[Submission]) -> list[tuple[str, str]]:
    """(array id, state) of each task that Slurm still has in its queue, or runs."""
    if not submissions:
        return []
    ids = ",".join(submission.job_id for submission in submissions)
    try:
        listed = ask_slurm("squeue", "--noheader", "--array", "--format=%F %T", f"--jobs={ids}")
    except EngineError as error:
        if "Invalid job id" in str(error):  # its way to say that a single one has gone
            return []
        raise
    found = [(line.split()[0], line.split()[1]) for line in listed.splitlines() if line.strip()]
    return [(job_id, state) for job_id, state in found if state != _LEAVING]


def check_tools(*programs: str) -> None:
    """Raises EngineError where one of Slurm's commands is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise EngineError(
                f"{program} not found: the engine slurm works where Slurm's commands are, such as "
                "on a login node of the cluster"
            )


def ask_slurm(*command: str) -> str:
    """What the command printed; raises EngineError with what Slurm said, if it refused."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]} gave no answer: {error}; try again later") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise EngineError(f"Slurm refused: {said}")
    return done.stdout
