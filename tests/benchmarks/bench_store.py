"""Speed of the store: listing 100,000 done cells, and what a cell costs beside its training.

Run as `python -m tests.benchmarks.bench_store` (`--cells N`, `--folder DIR` for another disk).
The cells are written with records of the length that real ones have. A listing reads every record
whole and holds it against its checksum; the first is taken right after the writes, so the files
are in memory, and `--drop-caches` (as root) takes one from the disk as well.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from scaling.record import CurvePoint
from scaling.sealed import seal
from scaling.store import Store
from tests.factories import make_record, make_spec

READINGS = 24
N_CLAIMS = 500


def write_cells(store: Store, n_cells: int) -> int:
    """Done cells, all with the record of one run; returns the bytes of one record."""
    curve = tuple(
        CurvePoint(tokens=512 * i, train_flops=1e9 * i, split="validation", term="clm",
                   nats_per_target=5.123456789 - 0.1 * i, learning_rate=0.004)
        for i in range(READINGS)
    )  # fmt: skip
    content = make_record(make_spec(), curve=curve).to_dict()
    for number in range(n_cells):
        run_id = f"{number:016x}"
        folder = store.folder(run_id)
        folder.mkdir(parents=True)
        text = seal(content | {"run_id": run_id})
        (folder / "record.json").write_text(text)
        (folder / "spec.json").write_text(json.dumps(content["spec"], indent=1))
    return len(text)


def listing_seconds(store: Store) -> tuple[float, float]:
    """Seconds by the clock, and of the processor's time, which other programs do not lengthen."""
    started, cpu_started = time.perf_counter(), time.process_time()
    states = store.states(store.run_ids())
    spent = time.perf_counter() - started, time.process_time() - cpu_started
    assert set(states.values()) == {"done"}
    return spent


def claim_seconds(store: Store) -> tuple[float, float]:
    """Seconds per cell to add and claim it, and to publish its record."""
    specs = [make_spec(seed=seed) for seed in range(N_CLAIMS)]
    claiming = publishing = 0.0
    for spec in specs:
        record = make_record(spec)
        started = time.perf_counter()
        store.add(spec)
        claim = store.claim(spec.run_id)
        claimed = time.perf_counter()
        assert claim is not None
        assert store.publish(claim, record)
        publishing += time.perf_counter() - claimed
        claiming += claimed - started
    return claiming / N_CLAIMS, publishing / N_CLAIMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--drop-caches", action="store_true", help="read from the disk, as root")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        store = Store(Path(name) / "runs")
        record_bytes = write_cells(store, options.cells)
        print(f"{options.cells} done cells with records of {record_bytes} bytes")
        clock, processor = min(listing_seconds(store) for _ in range(3))
        print(f"listed in {clock:.2f} s, {processor:.2f} s of them processor time; from memory")
        if options.drop_caches:
            Path("/proc/sys/vm/drop_caches").write_text("3")
            clock, processor = listing_seconds(store)
            print(f"listed in {clock:.2f} s, {processor:.2f} s of them processor time; from disk")
        claiming, publishing = claim_seconds(store)
        print(f"a cell: {1e3 * claiming:.2f} ms to add and claim, "
              f"{1e3 * publishing:.2f} ms to publish")  # fmt: skip


if __name__ == "__main__":
    main()
