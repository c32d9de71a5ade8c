"""One point of a grid -> the RunSpec that it stands for, or the reason why it is left out.

A horizon may be given as FLOPs (an IsoFLOP grid), tokens, or tokens per parameter; FLOPs are the
exact ones of `scaling.accounting`, parameters are those without embeddings. What the sweep does
not give comes from `scaling.recipe`, which depends on the size alone, so that the horizons of one
size share a trunk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from scaling import accounting, price
from scaling.arms import ARMS
from scaling.errors import SweepError
from scaling.evaluate.size_of_set import tokens_for_standard_error
from scaling.machine import gpus, native_bf16
from scaling.models import DEFAULT_OBJECTIVE, MODELS
from scaling.objectives import OBJECTIVES
from scaling.parameters import (
    EVAL_STANDARD_ERROR,
    HORIZONS,
    SHAPE,
    check_names,
    checked_limits,
    typed,
)
from scaling.recipe import Recipe, recipe
from scaling.sizes import SIZES
from scaling.spec import RunSpec
from scaling.sweep_evaluations import PARAMETER as EVALUATIONS
from scaling.text import Text
from scaling.words import did_you_mean

# corpus, tokenizer, vocab_size -> the text that training reads
TextLoader = Callable[[str, str, int | None], Text]

COOLDOWN_SHARE = 0.2
_RECIPE: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Recipe))


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A run, or why the sweep leaves it out; then the spec is there where one can be made."""

    spec: RunSpec | None
    excluded: str | None = None


def resolve(parameters: Mapping[str, Any], load: TextLoader) -> Resolved:
    """Turns one point of a grid into a run.

    Args:
        parameters: name -> value, as a W&B agent hands them over.
        load: reads the text, for its fingerprints and its vocabulary.
    Raises:
        SweepError, SpecError, CorpusError, TokenizerError: a value breaks a rule.
    """
    check_names(parameters)
    values = typed(parameters)
    values |= _arm(values)
    limits = checked_limits(values.pop("limits", {}))
    for name in (price.PARAMETER, EVALUATIONS):  # they change nothing of what a run is
        values.pop(name, None)
    values |= _choose(values)
    share = _cooldown_share(values)
    horizon = {name: values.pop(name) for name in HORIZONS if name in values}
    vocab_size = values.pop("vocab_size", None)
    given = {name: values.pop(name) for name in _RECIPE if name in values}
    cooldown_tokens = values.pop("cooldown_tokens", None)
    standard_error = values.pop(EVAL_STANDARD_ERROR, None)
    # The shape is checked before the text is read, which can take long.
    probe = _probe(values)
    text = load(values["corpus"], values["tokenizer"], vocab_size)
    _check_length(text, probe.seq_len)
    probe = probe.replace(
        corpus_fingerprint=text.corpus_fingerprint,
        tokenizer_fingerprint=text.tokenizer.fingerprint,
        vocab_size=text.tokenizer.vocab_size,
    )
    if standard_error is not None:
        eval_tokens = tokens_for_standard_error(text, probe.seq_len, standard_error)
        probe = probe.replace(eval_tokens=eval_tokens)
    params, flops_per_token = counts(probe)
    rule = _recipe(params, probe, given)
    tokens_per_unit = {
        "train_flops": 1 / flops_per_token,
        "train_tokens": 1.0,
        "tokens_per_param": float(params),
    }
    ((unit, amount),) = horizon.items()
    if not amount > 0:
        raise SweepError(f"{unit}={amount} is not positive; give a positive number")
    batch = max(1, rule.batch_tokens)
    total = max(1, round(amount * tokens_per_unit[unit] / batch))
    if cooldown_tokens is None:
        cooldown_tokens = max(1, round(share * total)) * batch if share else 0
    return _limited(probe, rule, total * batch, cooldown_tokens, params, limits)


def counts(spec: RunSpec) -> tuple[int, float]:
    """Parameters without embeddings and exact training FLOPs per token."""
    # Neither knows a horizon or a seed: the cells of one size share the answer.
    return _counts(
        spec.replace(
            seed=0,
            peak_lr=1.0,
            train_tokens=spec.seq_len,
            batch_tokens=spec.seq_len,
            warmup_tokens=0,
            cooldown_tokens=0,
        )
    )


@cache
def _counts(spec: RunSpec) -> tuple[int, float]:
    return accounting.params_non_embedding(spec), accounting.train_flops_per_token(spec)


def memory_bytes(spec: RunSpec) -> int:
    """Estimated footprint of the training; see `scaling.accounting.memory_bytes`."""
    return _memory_bytes(
        spec.replace(
            seed=0,
            peak_lr=1.0,
            train_tokens=spec.batch_tokens,
            warmup_tokens=0,
            cooldown_tokens=0,
        )
    )


@cache
def _memory_bytes(spec: RunSpec) -> int:
    return accounting.memory_bytes(spec)


def _arm(values: dict[str, Any]) -> dict[str, Any]:
    """What the arm settles, where one is given."""
    if "arm" not in values:
        return {}
    settled = ARMS[arm := _known("arm", values.pop("arm"), ARMS)]
    if both := [name for name in settled if name in values]:
        raise SweepError(f"the sweep gives arm={arm} and {both[0]}, which it settles; drop one")
    return settled


def _choose(values: dict[str, Any]) -> dict[str, Any]:
    """Looks names up in their dicts, and fills in what follows from them."""
    chosen: dict[str, Any] = {}
    arch = _known("arch", values["arch"], MODELS)
    chosen["objective"] = _known(
        "objective", values.get("objective", DEFAULT_OBJECTIVE[arch]), OBJECTIVES
    )
    if "size" in values:
        name = _known("size", values.pop("size"), SIZES)
        chosen |= {key: getattr(SIZES[name], key) for key in SHAPE}
    elif isinstance(values["d_model"], int):
        chosen["d_ff"] = values.get("d_ff", 4 * values["d_model"])
    precision = values.get("precision", "auto")
    if precision == "auto":
        # On a CPU bf16 pays on some processors and costs on others: that is for the user to
        # choose, with a plan of both at hand.
        precision = "bf16" if gpus() and native_bf16() else "float32"
    return chosen | {"precision": precision}


def _known(parameter: str, value: Any, table: Mapping[str, Any]) -> str:
    if not isinstance(value, str) or value not in table:
        raise SweepError(f"{parameter}={value!r} is unknown; {did_you_mean(value, table)}")
    return value


def _probe(values: dict[str, Any]) -> RunSpec:
    """The run at the shortest horizon there is, on a text still to be read."""
    return RunSpec(
        corpus_fingerprint="unread",
        tokenizer_fingerprint="unread",
        vocab_size=1,
        train_tokens=values["seq_len"],
        batch_tokens=values["seq_len"],
        warmup_tokens=0,
        cooldown_tokens=0,
        peak_lr=1.0,
        **values,
    )


def _recipe(params: int, probe: RunSpec, given: dict[str, Any]) -> Recipe:
    if len(given) == len(_RECIPE):
        return Recipe(**given)
    rule = recipe(params, probe.objective, probe.seq_len, probe.position_bias)
    return dataclasses.replace(rule, **given)


def _limited(
    probe: RunSpec,
    rule: Recipe,
    train_tokens: int,
    cooldown_tokens: int,
    params: int,
    limits: dict[str, float],
) -> Resolved:
    """The run at its horizon, excluded where that breaks a limit or leaves no room to warm up."""
    excluded: str | None = None
    if (warmup := rule.warmup_tokens) > train_tokens - cooldown_tokens:
        excluded = (
            f"warmup_tokens={warmup} and cooldown_tokens={cooldown_tokens} exceed "
            f"train_tokens={train_tokens}: the horizon is too short for this size"
        )
        return Resolved(spec=None, excluded=excluded)
    spec = probe.replace(
        train_tokens=train_tokens, cooldown_tokens=cooldown_tokens, **dataclasses.asdict(rule)
    )
    ratio = train_tokens / params
    found = {
        "min_tokens_per_param": (ratio, "tokens_per_param", "is under"),
        "max_tokens_per_param": (ratio, "tokens_per_param", "is over"),
        "min_steps": (float(spec.total_steps), "steps", "is under"),
    }
    for limit, bound in limits.items():
        value, name, relation = found[limit]
        if (value < bound) if limit.startswith("min") else (value > bound):
            excluded = excluded or f"{name}={value:.4g} {relation} {limit}={bound:g}"
    return Resolved(spec=spec, excluded=excluded)


def _cooldown_share(values: dict[str, Any]) -> float:
    share: float = values.pop("cooldown_share", COOLDOWN_SHARE)
    if not 0 <= share <= 1:
        raise SweepError(f"cooldown_share={share} is not in [0, 1]; 0.2 is usual")
    return share


def _check_length(text: Text, seq_len: int) -> None:
    for split, stream in (("train", text.train), ("validation", text.validation)):
        if len(stream.ids) < seq_len:
            raise SweepError(
                f"corpus={text.corpus!r} has {len(stream.ids)} tokens in its {split} split, fewer "
                f"than a sequence of seq_len={seq_len}; give more text or a shorter seq_len"
            )
