"""Shared test set-up: one thread, and the way to the optional shared data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import pytest
import torch

if TYPE_CHECKING:
    from analysis.study import Study

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


@pytest.fixture(scope="session")
def reference_study() -> Study:
    """The committed quickstart study, without the checks that no figure shows."""
    import analysis
    from analysis.study import make_study
    from analysis.table import load_table

    folder = Path(analysis.__file__).parent / "reference" / "quickstart"
    return make_study(folder, load_table(folder), n_boot=100, with_checks=False)
