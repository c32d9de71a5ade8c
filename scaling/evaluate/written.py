"""Texts written by portions, with what they cost and what the sampler says of them."""

# Tensor axes: B texts, T positions.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scaling.generation import Cost, Generated, Settings, generate
from scaling.models import LanguageModel
from scaling.spec import RunSpec

# A text does not depend on the portion that it is in: its noise is its own.
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Finished windows and what they took.

    Attributes:
        ids_BT: int64 [B, T].
        log_q_B: log-probability in nats of each text, given the order in which it was filled.
        given_order: whether that order is the same for all texts.
        moves: of a chain: proposals per token, shares accepted and of novel moves; else None.
    """

    ids_BT: np.ndarray
    log_q_B: np.ndarray | None
    given_order: bool
    cost: Cost
    moves: dict[str, float] | None


def write(
    model: LanguageModel,
    spec: RunSpec,
    canvases_BT: np.ndarray,
    name: str,
    settings: Settings,
    seed: int,
    report: Callable[[int, int], None],
) -> Written:
    """Fills the blanks of all canvases."""
    parts: list[Generated] = []
    for first in range(0, len(canvases_BT), _TEXTS_AT_ONCE):
        ids_BT = torch.from_numpy(canvases_BT[first : first + _TEXTS_AT_ONCE])
        parts.append(generate(model, spec, ids_BT, name, settings, seed=seed, first_text=first))
        report(min(first + _TEXTS_AT_ONCE, len(canvases_BT)), len(canvases_BT))
    cost = Cost()
    for part in parts:
        cost += part.cost
    return Written(
        ids_BT=torch.cat([part.ids_BT for part in parts]).numpy(),
        log_q_B=_log_q(parts),
        given_order=all(part.trace.given_order for part in parts),
        cost=cost,
        moves=_moves(parts),
    )


def _log_q(parts: list[Generated]) -> np.ndarray | None:
    found = [part.trace.log_prob_B for part in parts]
    known = [log_prob_B for log_prob_B in found if log_prob_B is not None]
    return torch.cat(known).numpy() if len(known) == len(found) else None


def _moves(parts: list[Generated]) -> dict[str, Any] | None:
    proposals = sum(part.trace.proposals for part in parts)
    if not proposals:
        return None
    return {
        "proposals": proposals,
        "accepted_share": sum(part.trace.accepted for part in parts) / proposals,
        "novel_share": sum(part.trace.moves for part in parts) / proposals,
    }
