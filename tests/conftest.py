"""Shared test set-up: one thread, and the way to the optional shared data."""

import os
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published tables and texts; tests that need it skip where it is missing."""
    root = Path(os.environ.get("SCALING_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"no shared data at {root}; set SCALING_SHARED to the folder that holds data/")
    return root / "data"
