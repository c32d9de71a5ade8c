"""A task of a Slurm array: a worker that has Slurm put it back into the queue when its time is up.

Slurm sends SIGUSR1 some seconds before the time limit (`--signal=B:USR1@90`), and before preemption
where the site says so; SIGTERM at preemption with a grace time, and when the job is cancelled. In
each case the cells write their checkpoints. The task is requeued when Slurm itself does not end it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from scaling import machine
from scaling.engines.pool_worker import Shift, parse, serve
from scaling.errors import StoreError

# A task whose time never suffices for one step must not go round for ever.
_FRUITLESS_STARTS = 3
_ANSWER_SECONDS = 60.0


def main() -> int:
    arguments = parse()
    _share_processors(arguments.cells * arguments.devices)
    shift = serve(arguments)
    if shift.end == "stopped":
        return _go_on_later(_task_id(), shift)
    return 0


def _share_processors(processes: int) -> None:
    """Without cgroups a task sees every processor of its node, and must use its own alone."""
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if given.isdecimal() and machine.chosen_threads() is None:
        threads = max(1, min(int(given), machine.physical_cores()) // processes)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def _task_id() -> str:
    # The number of one of the tasks is that of the whole array: requeueing it would end them all.
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def _go_on_later(job_id: str, shift: Shift) -> int:
    starts = 1 + int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if not shift.trained and starts >= _FRUITLESS_STARTS:
        print(f"not requeued: no cell got further in this start, the {starts}th; give more time")
        return 1
    if (state := _state(job_id)) != "RUNNING":
        print(f"not requeued by itself: Slurm says that job {job_id} is {state}")
        return 0
    done = _scontrol("requeue", job_id)
    if done.returncode:
        print(f"error: not requeued: {done.stderr.strip()}; the same `scaling run` goes on")
        return 1
    print(f"job {job_id} is requeued")
    return 0


def _state(job_id: str) -> str:
    shown = _scontrol("show", "job", "-o", job_id)
    found = re.search(r"\bJobState=(\w+)", shown.stdout)
    return found[1] if found else "unknown to it"


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["scontrol", *words], capture_output=True, text=True, timeout=_ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", f"scontrol: {error}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StoreError as error:
        sys.exit(f"error: {error}")
