"""The order of work: longest chain first, and nobody before its trunk."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.jobs import Job, Queue, _longest_first, make_jobs
from scaling.resolve import counts
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.factories import make_record
from tests.tiny_sweep import loader, write_tiny_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Trunks of two widths with three horizons each; the first one is the narrow one."""
    path = write_tiny_sweep(tmp_path, d_model=[16, 32], train_tokens=[2560, 5120, 10240])
    return expand(path, loader(tmp_path))


def queue_of(sweep: Sweep, store: Store) -> Queue:
    for cell in sweep.cells:
        store.add(cell.spec)
    return Queue(make_jobs(sweep.cells), store)


def end(store: Store, sweep: Sweep, run_id: str, status: str = "done") -> None:
    claim = store.claim(run_id)
    assert claim is not None
    spec = next(cell.spec for cell in sweep.cells if cell.run_id == run_id)
    store.publish(claim, make_record(spec, status))


def test_a_job_owns_what_is_behind_the_fork_it_takes_over(sweep: Sweep) -> None:
    jobs = make_jobs(sweep.cells[:3])
    assert [job.own_tokens for job in jobs] == [2560, 5120 - 2048, 10240 - 4096]
    assert jobs[2].shorter == (jobs[1].run_id, jobs[0].run_id)
    assert jobs[2].own_flops == (10240 - 4096) * counts(sweep.cells[2].spec)[1]


def test_the_longest_chain_starts_first_and_from_its_trunk(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    queue = queue_of(sweep, store)
    narrow, wide = sweep.cells[:3], sweep.cells[3:]
    order = []
    while (job := queue.next()) is not None:
        queue.here.add(job.run_id)
        order.append(job.run_id)
    # One of each chain: the next ones wait for them.
    assert order == [wide[0].run_id, narrow[0].run_id]
    end(store, sweep, wide[0].run_id)
    queue.here.discard(wide[0].run_id)
    queue.refresh()
    job = queue.next()
    assert job is not None
    assert job.run_id == wide[1].run_id


def test_a_chain_goes_on_behind_a_cell_that_failed(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    queue = queue_of(sweep, store)
    end(store, sweep, sweep.cells[3].run_id, "failed")
    queue.refresh()
    job = queue.next()
    assert job is not None
    assert job.run_id == sweep.cells[4].run_id


def test_cells_of_other_launchers_count_as_running_and_are_left_alone(
    sweep: Sweep, tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    queue = queue_of(sweep, store)
    assert store.claim(sweep.cells[3].run_id) is not None
    queue.refresh()
    assert queue.counts() == {"running": 1, "pending": 5}
    job = queue.next()
    assert job is not None
    assert job.run_id == sweep.cells[0].run_id


def test_a_cell_that_was_taken_since_the_last_look_is_not_started(
    sweep: Sweep, tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    queue = queue_of(sweep, store)
    assert store.claim(sweep.cells[3].run_id) is not None
    job = queue.next()
    assert job is not None
    assert job.run_id == sweep.cells[0].run_id


def test_measured_seconds_come_before_flops(sweep: Sweep, tmp_path: Path) -> None:
    class Clock:
        """The narrow shape is so inefficient here that it takes longer for fewer FLOPs."""

        def train_seconds(self, spec: RunSpec, tokens: int) -> float | None:
            return tokens * (2.0 if spec.d_model == 16 else 1.0)

    store = Store(tmp_path / "runs")
    for cell in sweep.cells:
        store.add(cell.spec)
    by_time = Queue(make_jobs(sweep.cells, clock=Clock()), store).waiting()
    assert [job.run_id for job in by_time] == [sweep.cells[0].run_id, sweep.cells[3].run_id]


def test_jobs_without_a_measurement_are_rated_by_the_others() -> None:
    jobs = [
        Job(run_id="a", own_tokens=10, train_flops_per_token=10.0, own_seconds=5.0),
        Job(run_id="b", own_tokens=10, train_flops_per_token=12.0),
        Job(run_id="c", own_tokens=10, train_flops_per_token=8.0),
    ]
    # 100 FLOPs took 5 seconds: b takes 6 and c takes 4.
    assert [job.run_id for job in _longest_first(jobs)] == ["b", "a", "c"]


def test_a_job_whose_attempt_died_waits_behind_the_others(sweep: Sweep, tmp_path: Path) -> None:
    queue = queue_of(sweep, Store(tmp_path / "runs"))
    first, second = queue.waiting()
    queue.put_back(first)
    assert list(queue.waiting()) == [second, first]
