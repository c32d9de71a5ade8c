"""Measurements that devices which train together share out among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist


def each_once(
    count: int, measure: Callable[[int], Sequence[float]], device: torch.device
) -> list[list[float]]:
    """`measure(0)` to `measure(count - 1)`, each made by one device and known to all.

    Args:
        count: measurements, at least one.
        measure: gives the same number of values at every index.
        device: the one that this process trains on.
    """
    if not dist.is_initialized():
        return [list(measure(index)) for index in range(count)]
    rank, world_size = dist.get_rank(), dist.get_world_size()
    # A sharded model is gathered anew for each measurement, which takes all devices: those that
    # have run out of work repeat the last one, and what it gives is left out below.
    mine = [list(measure(min(index, count - 1))) for index in range(rank, count + rank, world_size)]
    mine_tensor = torch.tensor(mine, dtype=torch.float64, device=device)
    parts = [torch.empty_like(mine_tensor) for _ in range(world_size)]
    dist.all_gather(parts, mine_tensor)
    values: list[list[float]] = torch.stack(parts, dim=1).flatten(0, 1)[:count].tolist()
    return values


def pieces_of(block_rows: Sequence[int], micro_batch: int | None) -> list[tuple[int, int, int]]:
    """(block, first row, end row) of pieces that each go through the model at once.

    Args:
        block_rows: rows of each block; no piece reaches over two of them.
        micro_batch: most rows of a piece; None for whole blocks.
    """
    return [
        (block, first, min(first + step, rows))
        for block, rows in enumerate(block_rows)
        for step in [micro_batch or rows]
        for first in range(0, rows, step)
    ]
