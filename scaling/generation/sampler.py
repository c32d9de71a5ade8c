"""The contract of a sampler: what it is given, what it may be told, what it leaves behind."""

# Tensor axes: B texts, T positions.

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from scaling.generation.law import draw, law
from scaling.generation.noise import Noise
from scaling.generation.reader import Reader

Energy = Literal["normalised", "raw"]


class GenerationError(ValueError):
    """A text that cannot be generated as asked; the message gives value, rule and remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How tokens are drawn. What a sampler has no use for is refused where it is given.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_k, top_p: keep the most likely tokens, by number or by probability; None keeps all.
        steps: passes in which a text is filled; None for the sampler's own.
        sweeps: visits of every place after the first fill; None for the sampler's own.
        candidates: texts of which one is kept; None for the sampler's own.
        energy: of Metropolis-Hastings; None for `normalised`.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None
    sweeps: int | None = None
    candidates: int | None = None
    energy: Energy | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise GenerationError(
                f"temperature={self.temperature} is not 0 or more; 1 is the model's own law"
            )
        for name, least in (("top_k", 1), ("steps", 1), ("sweeps", 0), ("candidates", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise GenerationError(f"{name}={value} is under {least}; give {least} or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GenerationError(f"top_p={self.top_p} is not in (0, 1]; 0.9 is usual")
        if self.energy is not None and self.energy not in get_args(Energy):
            known = ", ".join(get_args(Energy))
            raise GenerationError(f"energy={self.energy!r} is unknown; known: {known}")


@dataclass(kw_only=True, slots=True)
class Trace:
    """What a sampler did, over all texts.

    Attributes:
        log_prob_B: log-probability in nats of the draws of each text, under the laws they were
            drawn from; None where the text is no single sequence of draws.
        given_order: whether places were filled in one order, so that `log_prob_B` is the
            log-probability of the text itself, and not of the text and its order.
        proposals: tokens drawn for places that had one. accepted: of those, how many were taken.
            moves: of those, how many changed the token ("novel moves").
        effective_candidates_B: of importance sampling, 1 / sum of the squared weights.
    """

    log_prob_B: Tensor | None = None
    given_order: bool = False
    proposals: int = 0
    accepted: int = 0
    moves: int = 0
    effective_candidates_B: Tensor | None = None


@dataclass(kw_only=True, slots=True)
class Task:
    """Everything that a sampler works with: model, settings, noise, and its trace."""

    reader: Reader
    settings: Settings
    noise: Noise
    trace: Trace = field(default_factory=Trace)

    def law(self, logits_MV: Tensor) -> Tensor:
        """The law of each place, as the settings shape it."""
        s = self.settings
        return law(logits_MV, temperature=s.temperature, top_k=s.top_k, top_p=s.top_p)

    def fill(self, ids_BT: Tensor, places_BT: Tensor, *, counts: bool = True) -> Tensor:
        """Draws each of the places, independently, from one pass; returns the new texts.

        Args:
            counts: whether the draws belong to the log-probability of the texts.
        """
        logits_MV = self.reader.logits(ids_BT, places_BT)
        uniform_BT = self.noise.uniform(ids_BT.shape[1])
        probs_MV = self.law(logits_MV)
        drawn_M = draw(probs_MV, uniform_BT[places_BT])
        filled_BT = ids_BT.clone()
        filled_BT[places_BT] = drawn_M
        if counts and self.trace.log_prob_B is not None:
            nats_BT = torch.zeros(ids_BT.shape, dtype=torch.float64)
            nats_BT[places_BT] = probs_MV.gather(-1, drawn_M[:, None])[:, 0].log()
            self.trace.log_prob_B += nats_BT.sum(dim=1)
        return filled_BT


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """One way to fill in the blanks of texts.

    Attributes:
        steps: yields the texts [B, T] after each step, the finished ones last.
        predicts_next: for models of the next token, or of hidden ones.
        options: fields of `Settings` that it has a use for, beside those of the law.
        summary: one line for people.
        check: raises GenerationError for blanks or settings that it cannot serve.
    """

    steps: Callable[[Task, Tensor], Iterator[Tensor]]
    predicts_next: bool
    options: frozenset[str] = frozenset()
    summary: str
    check: Callable[[Tensor, Settings], None] = lambda ids_BT, settings: None


_OF_THE_LAW = frozenset({"temperature", "top_k", "top_p"})


def check_settings(name: str, sampler: Sampler, settings: Settings) -> None:
    """Raises GenerationError for a setting that the sampler would ignore."""
    for option in dataclasses.fields(Settings):
        given = getattr(settings, option.name) != option.default
        if given and option.name not in sampler.options | _OF_THE_LAW:
            takes = ", ".join(sorted(sampler.options)) or "none beside temperature, top_k, top_p"
            raise GenerationError(
                f"{option.name}={getattr(settings, option.name)} has no use for "
                f"sampler={name!r}; its options: {takes}"
            )
