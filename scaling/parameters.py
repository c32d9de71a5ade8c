"""The parameters that a sweep may give: their names, their types, and which exclude each other."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from scaling import price
from scaling.errors import SweepError
from scaling.spec import RunSpec
from scaling.sweep_evaluations import PARAMETER as EVALUATIONS
from scaling.words import did_you_mean

HORIZONS = ("train_flops", "train_tokens", "tokens_per_param")
SHAPE = ("n_layer", "d_model", "n_head", "d_ff")
LIMITS = ("min_tokens_per_param", "max_tokens_per_param", "min_steps")
# Instead of eval_tokens: nats per target that the loss may be off by.
EVAL_STANDARD_ERROR = "eval_standard_error"
_REQUIRED = ("corpus", "tokenizer", "seq_len")
_DERIVED = frozenset({"corpus_fingerprint", "tokenizer_fingerprint"})
_FIELDS = {
    field.name: str(field.type)
    for field in dataclasses.fields(RunSpec)
    if field.name not in _DERIVED
}
_NUMBERS = {name: kind for name, kind in _FIELDS.items() if kind in ("int", "float")} | {
    "train_flops": "float",
    "tokens_per_param": "float",
    "cooldown_share": "float",
    EVAL_STANDARD_ERROR: "float",
}
PARAMETERS = frozenset({*_FIELDS, *_NUMBERS, "arm", "size", "limits", price.PARAMETER, EVALUATIONS})

_NUMERIC_TEXT = re.compile(r"\s*([+-]?[0-9_]*\.?[0-9_]*)[eE]([+-]?)([0-9]+)\s*")


def check_names(parameters: Mapping[str, Any]) -> None:
    """Raises SweepError for an unknown parameter, and for one that is missing or one too many."""
    for name in parameters:
        if name not in PARAMETERS:
            raise SweepError(f"parameter {name!r} is unknown; {did_you_mean(name, PARAMETERS)}")
    if missing := [name for name in _REQUIRED if name not in parameters]:
        raise SweepError(f"the sweep lacks {', '.join(missing)}; add them under `parameters`")
    models = [name for name in ("arch", "arm") if name in parameters]
    if len(models) != 1:
        raise SweepError(
            f"the sweep gives {' and '.join(models) or 'no model'}; give exactly one of arch, arm"
        )
    horizons = [name for name in HORIZONS if name in parameters]
    if len(horizons) != 1:
        raise SweepError(
            f"the sweep gives {' and '.join(horizons) or 'no horizon'}; "
            f"give exactly one of {', '.join(HORIZONS)}"
        )
    shape = [name for name in SHAPE if name in parameters]
    if "size" in parameters and shape:
        raise SweepError(f"the sweep gives size and {', '.join(shape)}; give one or the other")
    if "size" not in parameters and not {"n_layer", "d_model", "n_head"} <= set(shape):
        raise SweepError("the sweep gives no shape; give size, or n_layer, d_model and n_head")
    if {EVAL_STANDARD_ERROR, "eval_tokens"} <= parameters.keys():
        raise SweepError(f"the sweep gives {EVAL_STANDARD_ERROR} and eval_tokens; give one of them")
    if {"cooldown_share", "cooldown_tokens"} <= parameters.keys():
        raise SweepError("the sweep gives cooldown_share and cooldown_tokens; give one of them")


def typed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with numbers in the type of their field, under which they enter a run id.

    Raises:
        SweepError: a value is not of the type that its field has.
    """
    return {name: _number(name, value) for name, value in parameters.items()}


def checked_limits(limits: Any) -> dict[str, float]:
    if not isinstance(limits, Mapping):
        raise SweepError(f"limits={limits!r} is not a mapping; known limits: {', '.join(LIMITS)}")
    for name, bound in limits.items():
        if name not in LIMITS:
            raise SweepError(f"limit {name!r} is unknown; {did_you_mean(name, LIMITS)}")
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise SweepError(f"{name}={bound!r} is not a number{_yaml_hint(bound)}")
    return dict(limits)


def _number(name: str, value: Any) -> Any:
    """The value as the type of its field; whole numbers may be written as 1.0e+6."""
    kind = _NUMBERS.get(name)
    if kind is None:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = "a whole number" if kind == "int" else "a number"
        raise SweepError(f"{name}={value!r} is not {what}{_yaml_hint(value)}")
    if kind == "int" and value != int(value):
        raise SweepError(f"{name}={value!r} is not a whole number; the nearest: {round(value)}")
    return int(value) if kind == "int" else float(value)


def _yaml_hint(value: Any) -> str:
    """How to write a number that YAML 1.1 reads as text."""
    found = _NUMERIC_TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not found[1]:
        return f"; it is {type(value).__name__}: give a number such as 128 or 3.0e-4"
    mantissa = found[1] if "." in found[1] else f"{found[1]}.0"
    return f"; YAML reads {value} as text: write {mantissa}e{found[2] or '+'}{found[3]}"
