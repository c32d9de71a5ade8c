"""RunSpec: everything that determines the result of one training run, and its id."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["float32", "bf16"]
Attention = Literal["default", "causal", "bidirectional"]
Corruption = Literal["bert", "mask"]
PairNegatives = Literal["random", "same_document"]
PairCut = Literal["anywhere", "sentence"]
PositionBias = Literal["none", "relative"]

_CHOICES: dict[str, object] = {
    "attention": Attention,
    "corruption": Corruption,
    "negatives": PairNegatives,
    "pair_cut": PairCut,
    "position_bias": PositionBias,
}

# What names a thing for people, or says where it lies, is not part of its identity:
# the fingerprints are.
_NOT_IDENTITY = frozenset({"corpus"})

# The cool-down and the horizon are what branches of one trunk do not share.
_BRANCH_FIELDS = frozenset({"train_tokens", "cooldown_tokens"})


class SpecError(ValueError):
    """A spec that breaks a rule; the message gives the value, the rule and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """One training run. Horizons are in tokens, counting every position that is processed.

    Attributes:
        arch: key of `scaling.models.MODELS`.
        objective: key of `scaling.objectives.OBJECTIVES`.
        corpus: name and place of the text, for people; the fingerprint identifies it.
        corpus_fingerprint, tokenizer_fingerprint: SHA-256 prefixes of the content.
        tokenizer: `bytes` or `bpe`.
        vocab_size: entries of the vocabulary, the special tokens included.
        seq_len: positions per sequence, [CLS] included.
        train_tokens, warmup_tokens, cooldown_tokens: horizons of the WSD schedule; the
            cool-down ends at `train_tokens`. All but warm-up are multiples of `batch_tokens`.
        batch_tokens: positions per optimizer step, over all devices.
        peak_lr: learning rate on the plateau of the schedule.
        mask_rate: share of the text tokens that MLM predicts in training.
        corruption: what MLM shows in place of a token to predict: `bert` is its mixture of [MASK],
            random and kept tokens, `mask` is [MASK] alone.
        attention: `default` is the architecture's own direction.
        target_share: share of the text tokens that give CLM a loss.
        eval_tokens: positions of the fixed validation set.
        negatives: where next-sentence prediction finds a wrong second segment: in another
            document, or elsewhere in the same one.
        pair_cut: where a document may be cut into segments of a pair.
        position_bias: `relative` adds a learned number to the attention scores for each head and
            distance, on top of the positions that are embedded.
    """

    arch: str
    objective: str
    corpus: str
    corpus_fingerprint: str
    tokenizer: str
    tokenizer_fingerprint: str
    vocab_size: int
    n_layer: int
    d_model: int
    n_head: int
    d_ff: int
    seq_len: int
    train_tokens: int
    batch_tokens: int
    warmup_tokens: int
    cooldown_tokens: int
    peak_lr: float
    precision: Precision = "float32"
    seed: int = 0
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.99
    gradient_clip: float = 1.0
    mask_rate: float = 0.15
    attention: Attention = "default"
    corruption: Corruption = "bert"
    target_share: float = 1.0
    eval_tokens: int = 131072
    negatives: PairNegatives = "random"
    pair_cut: PairCut = "anywhere"
    position_bias: PositionBias = "none"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), _FIELD_TYPES[field.name])
        for name in ("vocab_size", "n_layer", "d_model", "n_head", "d_ff", "seq_len",
                     "train_tokens", "batch_tokens", "eval_tokens"):  # fmt: skip
            if getattr(self, name) < 1:
                raise SpecError(f"{name}={getattr(self, name)} is not positive; give at least 1")
        if self.seed < 0:
            raise SpecError(f"seed={self.seed} is negative; give 0 or more")
        self._check_shape()
        self._check_horizons()
        self._check_rates()

    def _check_shape(self) -> None:
        if self.d_model % self.n_head:
            nearest = max(1, round(self.d_model / self.n_head)) * self.n_head
            raise SpecError(
                f"d_model={self.d_model} is not divisible by n_head={self.n_head}; "
                f"the nearest width that is: {nearest}"
            )
        if self.seq_len < 8:
            raise SpecError(f"seq_len={self.seq_len} is under 8; a sequence needs room for text")

    def _check_horizons(self) -> None:
        if self.batch_tokens % self.seq_len:
            nearest = max(1, round(self.batch_tokens / self.seq_len)) * self.seq_len
            raise SpecError(
                f"batch_tokens={self.batch_tokens} is not a multiple of seq_len={self.seq_len}; "
                f"the nearest that is: {nearest}"
            )
        for name in ("train_tokens", "cooldown_tokens"):
            value = getattr(self, name)
            if value % self.batch_tokens:
                nearest = max(1, round(value / self.batch_tokens)) * self.batch_tokens
                raise SpecError(
                    f"{name}={value} is not a multiple of batch_tokens={self.batch_tokens}; "
                    f"the nearest that is: {nearest}"
                )
        if min(self.warmup_tokens, self.cooldown_tokens) < 0:
            raise SpecError("warmup_tokens and cooldown_tokens may not be negative; give 0 or more")
        if self.warmup_tokens + self.cooldown_tokens > self.train_tokens:
            raise SpecError(
                f"warmup_tokens={self.warmup_tokens} and cooldown_tokens={self.cooldown_tokens} "
                f"exceed train_tokens={self.train_tokens}; train longer or shorten them"
            )

    def _check_rates(self) -> None:
        if not (math.isfinite(self.peak_lr) and self.peak_lr > 0):
            raise SpecError(f"peak_lr={self.peak_lr} is not a positive number; try 0.004")
        for name in ("mask_rate", "target_share"):
            if not 0 < getattr(self, name) <= 1:
                raise SpecError(f"{name}={getattr(self, name)} is not in (0, 1]; 0.15 is usual")
        for name in ("adam_beta1", "adam_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise SpecError(f"{name}={getattr(self, name)} is not in [0, 1); 0.9 is usual")
        if self.precision not in typing.get_args(Precision):
            raise SpecError(f"precision={self.precision!r} is unknown; known: float32, bf16")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in typing.get_args(choices):
                known = ", ".join(typing.get_args(choices))
                raise SpecError(f"{name}={getattr(self, name)!r} is unknown; known: {known}")
        if self.negatives == "same_document" and self.pair_cut == "anywhere":
            raise SpecError(
                "negatives='same_document' with pair_cut='anywhere': a span that starts a letter "
                "later is no wrong one; give pair_cut sentence"
            )

    @property
    def run_id(self) -> str:
        """16 hex digits that name the result.

        The hash runs over the fields without a default and those that differ from it, so a
        field that is added later keeps the ids of earlier runs. Defaults therefore never change.
        """
        return _digest(self._identity())

    @property
    def trunk_id(self) -> str:
        """The id that all horizons of one WSD trunk share."""
        identity = self._identity()
        return _digest({k: v for k, v in identity.items() if k not in _BRANCH_FIELDS})

    @property
    def fork_tokens(self) -> int:
        """Tokens at which this run leaves its trunk and cools down."""
        return self.train_tokens - self.cooldown_tokens

    @property
    def sequences_per_step(self) -> int:
        return self.batch_tokens // self.seq_len

    @property
    def total_steps(self) -> int:
        return self.train_tokens // self.batch_tokens

    @property
    def fork_step(self) -> int:
        return self.fork_tokens // self.batch_tokens

    def _identity(self) -> dict[str, Any]:
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in _NOT_IDENTITY
            and (field.default is dataclasses.MISSING or getattr(self, field.name) != field.default)
        }

    def replace(self, **changes: Any) -> RunSpec:
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunSpec:
        """Builds a spec from JSON.

        Raises:
            SpecError: a field is unknown or missing, or a value breaks a rule.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        required = {
            field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
        }
        if unknown := sorted(values.keys() - known):
            raise SpecError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if missing := sorted(required - values.keys()):
            raise SpecError(f"the spec lacks {', '.join(missing)}; each run needs them")
        return cls(**values)


# Literals are strings here; `_check_rates` names the values that are known.
_FIELD_TYPES: dict[str, type] = {
    field.name: {"int": int, "float": float}.get(str(field.type), str)
    for field in dataclasses.fields(RunSpec)
}


def _check_type(name: str, value: object, expected: type) -> None:
    accepted = (int, float) if expected is float else (expected,)
    if isinstance(value, bool) or not isinstance(value, accepted):
        hint = ""
        if expected in (int, float) and isinstance(value, str):
            hint = "; YAML reads 3e-4 and 1e15 as text: write 3.0e-4 and 1.0e+15"
        raise SpecError(f"{name}={value!r} is not of type {expected.__name__}{hint}")


def _digest(identity: dict[str, Any]) -> str:
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
