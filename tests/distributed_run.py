"""Trains one small run on as many processes as asked, and prints its result as JSON.

A script of its own, because Lightning starts the other processes from the command line.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from scaling.train import run
from tests.factories import make_text, spec_for

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, devices = Path(sys.argv[1]), int(sys.argv[2])
    text = make_text(folder)
    spec = spec_for(text, arch="encoder", objective="mlm", train_tokens=512 * 70)
    record = run(spec, text=text, folder=folder / f"on-{devices}", devices=devices)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print("RESULT " + json.dumps(record.result()))
