"""Peak memory: of this attempt and not of an earlier one of the same process."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from scaling import peak_memory
from scaling.peak_memory import _Meter
from scaling.record import RunRecord
from scaling.worker import run_cell
from tests.factories import make_record, make_spec
from tests.test_worker import planned

linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists() or torch.cuda.is_available(),
    reason="the kernel's high-water mark of a process that trains on its CPU",
)
MIB = 1 << 20


@pytest.fixture(autouse=True)
def meter(monkeypatch: pytest.MonkeyPatch) -> _Meter:
    fresh = _Meter()
    monkeypatch.setattr(peak_memory, "_meter", fresh)
    return fresh


def held(mib: int) -> bytes:
    """Takes memory in small blocks and gives back all but the last, which keeps the heap high."""
    blocks = [b"x" * (64 << 10) + bytes([i % 256]) for i in range(mib * 16)]
    return blocks[-1]


def peaks_of_two_attempts() -> list[float]:
    """MiB that each of two attempts of this process took."""
    peaks, kept = [], []
    for mib in (200, 40):
        peak_memory.begin()
        kept.append(held(mib))
        found = peak_memory.read()
        assert found.peak_memory_bytes is not None
        assert found.memory_at_start_bytes is not None
        assert found.peak_memory_kind == "resident in the process"
        peaks.append((found.peak_memory_bytes - found.memory_at_start_bytes) / MIB)
    return peaks


@linux
def test_each_attempt_of_a_process_has_its_own_peak() -> None:
    # A process that has run other tests has free memory in its heap, which is used up first.
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        first, second = fresh.apply(peaks_of_two_attempts)
    assert first == pytest.approx(200, abs=10)
    assert second == pytest.approx(40, abs=10)


def test_without_a_beginning_there_is_no_number() -> None:
    peak_memory.begin()
    peak_memory.read()
    again = peak_memory.read()
    assert again.peak_memory_bytes is None
    assert again.peak_memory_kind == "the attempt ended before training began"


@linux
def test_a_mark_that_cannot_be_set_back_serves_the_first_attempt_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path)
    peak_memory.begin()
    assert peak_memory.read().peak_memory_bytes is not None
    peak_memory.begin()
    second = peak_memory.read()
    assert second.peak_memory_bytes is None
    assert second.peak_memory_kind == "the high-water mark cannot be set back: Is a directory"


def test_a_trained_cell_records_it_and_the_result_does_not_depend_on_it(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    assert run_cell(store.root, job) == "done"
    record = store.record(job.run_id)
    assert record is not None
    made = record.provenance
    if made.peak_memory_bytes is not None:
        assert made.memory_at_start_bytes is not None
        assert made.peak_memory_bytes >= made.memory_at_start_bytes > 10 * MIB
    assert made.peak_memory_kind
    assert "peak_memory" not in json.dumps(record.result())


def test_a_record_from_before_reads_and_says_so() -> None:
    values = make_record(make_spec()).to_dict()
    for name in ("peak_memory_bytes", "memory_at_start_bytes", "peak_memory_kind"):
        del values["provenance"][name]
    made = RunRecord.from_dict(values).provenance
    assert made.peak_memory_bytes is None
    assert made.peak_memory_kind == "made before memory was recorded"
