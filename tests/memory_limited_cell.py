"""Trains the one cell of a store in a process of limited memory, and prints what became of it.

A script of its own: a limit on the address space cannot be lifted from a process again.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
import torch._dynamo  # the optimizer imports it, and no import should meet the limit

from scaling.jobs import Job
from scaling.store import Store
from scaling.worker import run_cell


def address_space_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmSize")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    root, mebibytes = Path(sys.argv[1]), int(sys.argv[2])
    (run_id,) = Store(root).run_ids()
    limit = address_space_bytes() + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(run_cell(root, Job(run_id=run_id, wandb_mode="disabled")))
