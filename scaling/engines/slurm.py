"""The engine of a Slurm cluster: submits an array of workers, and leaves.

Slurm starts workers and nothing more. What has ended, what runs and what comes next stands in the
store, on the shared file system; a worker that Slurm requeues finds it there. The engine keeps
`<root>/<sweep>/slurm.json`, the arrays that it submitted, so that a second launch adds what is
missing instead of the same again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from scaling import claims, interruption
from scaling.engines import Display, DisplayLeft
from scaling.engines.job_file import write_jobs
from scaling.engines.slurm_queue import (
    Submission,
    ask_slurm,
    check_tools,
    read_submissions,
    tasks_of,
    write_submissions,
)
from scaling.engines.slurm_script import Request, sbatch_script
from scaling.errors import EngineError
from scaling.files import write_atomic
from scaling.heart import heart
from scaling.jobs import Job, Queue
from scaling.store import ENDED, State, Store

# Tasks of one launch that says no number.
MOST_TASKS = 64

_LOOK_SECONDS = 5.0


def run_jobs(
    root: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None,
    display: Display,
    options: Mapping[str, str],
) -> None:
    """Submits workers for the jobs that have not ended, and with `wait=true` waits for the jobs.

    Raises: see `scaling.engines.Engine`.
    """
    request = Request.of(options)
    check_tools("sbatch", "squeue")
    root = root.absolute()
    store = Store(root)
    states = store.states(job.run_id for job in jobs)
    if all(state in ENDED for state in states.values()):
        return
    sweep = jobs[0].sweep
    folder = store.sweep_folder(sweep) / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    claim = claims.take(folder)
    if claim is None:
        raise EngineError(f"another launch is submitting {sweep} right now; try in a minute")
    try:
        with heart(claim):
            write_jobs(folder / "jobs.json", jobs)
            _submit_missing(store, jobs, states, workers, request)
    finally:
        claim.end("ended")
    if request.wait:
        _wait(store, jobs, display)


def cancel(root: Path, sweep: str) -> list[str]:
    """Takes the tasks of a sweep out of Slurm's queue; those that run write checkpoints first.

    Returns:
        The ids of the arrays that still had tasks.
    Raises:
        EngineError: there are arrays, and Slurm cannot be reached from here.
    """
    submissions = read_submissions(Store(root), sweep)
    if not submissions:
        return []
    check_tools("scancel", "squeue")
    alive = list(dict.fromkeys(job_id for job_id, _ in tasks_of(submissions)))
    if alive:
        ask_slurm("scancel", *alive)
    return alive


def _submit_missing(
    store: Store,
    jobs: Sequence[Job],
    states: Mapping[str, State],
    workers: int | None,
    request: Request,
) -> None:
    sweep = jobs[0].sweep
    submissions = read_submissions(store, sweep)
    tasks = tasks_of(submissions)
    by_devices: dict[int, list[Job]] = {}
    for job in jobs:
        if states[job.run_id] not in ENDED:
            by_devices.setdefault(job.devices, []).append(job)
    for devices, left in sorted(by_devices.items()):
        ids = {found.job_id for found in submissions if found.devices == devices}
        alive = Counter(state for job_id, state in tasks if job_id in ids)
        wanted = _tasks_for(left, workers, request.cells_per_task if devices == 1 else 1)
        what = f"{len(left)} cells" + (f" on {devices} devices each" if devices > 1 else "")
        if alive:
            counts = ", ".join(f"{number} {state}" for state, number in sorted(alive.items()))
            print(f"{what}: of {wanted} worker tasks there are {counts} already")
        if (missing := wanted - alive.total()) <= 0:
            print(f"{what}: nothing to submit")
            continue
        submission = _submit(store, sweep, request, devices, missing)
        submissions.append(submission)
        write_submissions(store, sweep, submissions)
        print(f"{what}: submitted job {submission.job_id}, {missing} worker tasks")
    ids = {found.job_id for found in submissions}
    alive_ids = sorted(ids & {job_id for job_id, _ in tasks_of(submissions)}, key=int)
    print(f"logs:   {store.sweep_folder(sweep) / 'slurm'}")
    if alive_ids:
        print(f"watch:  squeue --array --jobs {','.join(alive_ids)}")
        print(f"cancel: scancel {' '.join(alive_ids)}")


def _tasks_for(left: Sequence[Job], workers: int | None, cells_per_task: int) -> int:
    """As many tasks as there are chains of cells: the cells of one follow each other."""
    run_ids = {job.run_id for job in left}
    chains = sum(job.waits_for not in run_ids for job in left)
    cells = min(workers or MOST_TASKS * cells_per_task, chains)
    return -(-cells // cells_per_task)


def _submit(store: Store, sweep: str, request: Request, devices: int, tasks: int) -> Submission:
    folder = store.sweep_folder(sweep) / "slurm"
    script = folder / f"devices-{devices}.sh"
    text = sbatch_script(
        request,
        name=f"scaling-{sweep}",
        folder=folder,
        root=store.root,
        devices=devices,
        tasks=tasks,
    )
    write_atomic(script, text)
    answer = ask_slurm("sbatch", "--parsable", str(script))
    # On a federation of clusters the name of one follows.
    job_id = answer.strip().splitlines()[-1].partition(";")[0]
    if not job_id.isdecimal():
        raise EngineError(f"sbatch answered {answer.strip()!r} where a job id was expected")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Submission(job_id=job_id, tasks=tasks, devices=devices, submitted_at=now)


def _wait(store: Store, jobs: Sequence[Job], display: Display) -> None:
    """Shows how far the cells are until all have ended; Ctrl-C stops the showing alone."""
    queue = Queue(jobs, store)
    submissions = read_submissions(store, jobs[0].sweep)
    gone = 0
    try:
        while queue.unfinished:
            interruption.check()
            display.update(queue, [])
            time.sleep(_LOOK_SECONDS)
            # A task that is being requeued is away for a moment.
            gone = 0 if tasks_of(submissions) else gone + 1
            queue.refresh()
            if queue.unfinished and gone > 2:
                raise EngineError(
                    f"no task of {jobs[0].sweep} is left in Slurm, and {len(queue.unfinished)} "
                    "cells have not ended; see the logs, then run the same command again"
                )
        display.update(queue, [])
    except KeyboardInterrupt:
        raise DisplayLeft("the tasks go on without this display") from None
