"""Names of the files in the folder of a cell."""

from __future__ import annotations

SPEC = "spec.json"
RECORD = "record.json"
CLAIM = "claim.json"
CANCEL = "cancel.json"
PROGRESS = "progress.json"
CHECKPOINT = "checkpoint.pt"
FORK = "fork.pt"
WEIGHTS = "weights.safetensors"
