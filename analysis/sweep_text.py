"""Sweep files as text: W&B grid sweeps in YAML 1.1, written without a YAML library."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from analysis.errors import AnalysisError

_HORIZONS = ("train_flops", "train_tokens", "tokens_per_param")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./:-]*")
# YAML 1.1 reads these as something else than text.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def sweep_texts(
    tokens_of: Mapping[str, Sequence[int]], parameters: Mapping[str, object], *, name: str
) -> dict[str, str]:
    """One grid per set of token counts, so that no cell is trained that was not asked for.

    Args:
        tokens_of: size -> train_tokens.
        parameters: the other parameters; a list is an axis of the grid.
    Returns:
        file name -> YAML that `wandb sweep` and `scaling run` take.
    Raises:
        AnalysisError: a parameter is given that the cells decide.
    """
    taken = [key for key in ("size", *_HORIZONS) if key in parameters]
    if taken:
        raise AnalysisError(f"{', '.join(taken)} follow from the cells; leave them out")
    grids: dict[tuple[int, ...], list[str]] = {}
    for size, tokens in tokens_of.items():
        grids.setdefault(tuple(tokens), []).append(size)
    texts = {}
    for number, (tokens, sizes) in enumerate(grids.items(), start=1):
        stem = name if len(grids) == 1 else f"{name}_{number}"
        axes = {**parameters, "size": sizes, "train_tokens": list(tokens)}
        lines = [
            f"name: {_scalar(stem)}",
            "program: scaling",
            'command: [scaling, cell, "${args_json_file}"]',
            "method: grid",
            "metric: {name: final/bits_per_byte, goal: minimize}",
            "parameters:",
            *(f"  {key}: {_entry(value)}" for key, value in axes.items()),
        ]
        texts[f"{stem}.yaml"] = "\n".join(lines) + "\n"
    return texts


def _entry(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"{{values: [{', '.join(_scalar(item) for item in value)}]}}"
    return f"{{value: {_scalar(value)}}}"


def _scalar(value: object) -> str:
    """A value in flow style that YAML 1.1 reads back as the same one."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_scalar(item)}' for key, item in value.items())}}}"
    if isinstance(value, float):
        # YAML 1.1 reads 1e-05 as text: it wants a dot and a sign.
        mantissa, _, exponent = repr(value).partition("e")
        mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
        return mantissa + (f"e{int(exponent):+03d}" if exponent else "")
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)
