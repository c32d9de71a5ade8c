"""What a W&B run of a cell is called, grouped and found by: the same live and mirrored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.cell_read import CellSpec
from scaling.evaluation_cell import EvaluationSpec
from scaling.words import describe


def run_arguments(
    spec: CellSpec,
    *,
    run_id: str,
    sweep: str,
    labels: Mapping[str, Any],
    sweeps: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments of `wandb.init`.

    Args:
        sweep: its group; a run of W&B has one.
        labels: what the sweep calls the cell, such as `{"size": "25k", "seed": 0}`.
        sweeps: all that the cell belongs to; those beside `sweep` become tags.
    """
    size = [str(labels["size"])] if "size" in labels else []
    others = [f"sweep:{name}" for name in sweeps if name != sweep]
    names = {
        "run_id": run_id,
        "sweep": sweep,
        "sweeps": list(sweeps) or [sweep],
        "labels": dict(labels),
    }
    what = spec.measurement if isinstance(spec, EvaluationSpec) else spec.objective
    return {
        "id": run_id,
        "name": _display_name(spec, labels),
        "group": sweep,
        "job_type": "evaluation" if isinstance(spec, EvaluationSpec) else spec.arch,
        # W&B takes no longer ones.
        "tags": [tag[:64] for tag in (what, *size, *others)],
        "config": spec.to_dict() | names,
        "resume": "allow",
    }


def _display_name(spec: CellSpec, labels: Mapping[str, Any]) -> str:
    if isinstance(spec, EvaluationSpec):
        return describe(labels) or f"{spec.measurement} of {spec.of}"
    size = labels.get("size", f"{spec.n_layer}x{spec.d_model}")
    arm = labels.get("arm") or spec.arch
    return f"{arm} {size} {spec.train_tokens} tokens seed {spec.seed}"
