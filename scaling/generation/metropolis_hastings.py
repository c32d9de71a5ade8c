"""Metropolis-Hastings: Gibbs moves as proposals, accepted by the energy of the whole text.

Source: Goyal et al. 2022, arXiv:2106.02736, section 3. A masked model gives a text the energy
    raw:        E(x) = - sum over t of the logit of x_t, where x_t alone is hidden
    normalised: E(x) = - sum over t of log P(x_t | all others), minus the pseudo-log-likelihood
and exp(-E) is a distribution that a chain can be made to converge to, other than the conditionals
themselves. The move of x_t to x'_t, drawn from its conditional q, is accepted with probability
    min(1, exp(E(x) - E(x')) q(x_t) / q(x'_t)).
At temperature T the target is exp(-E / T), and the proposals come from logits / T; top-k and
top-p cut the proposals, and with them the texts that can be reached.

Each proposal that changes a token costs one pass for every token of the text.
"""

# Tensor axes: B texts, T positions, V vocabulary, N text tokens of one text.

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.gibbs import visits
from scaling.generation.law import draw
from scaling.generation.reader import Reader, blanks
from scaling.generation.sampler import Energy, GenerationError, Sampler, Settings, Task
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

DEFAULT_SWEEPS = 2
# Logits of one pass for each of so many tokens are kept together.
_TOKENS_AT_ONCE = 2048


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    hidden_BT = blanks(ids_BT)
    sweeps = task.settings.sweeps
    sweeps = DEFAULT_SWEEPS if sweeps is None else sweeps
    for place_BT in visits(task, hidden_BT):
        ids_BT = task.fill(ids_BT, place_BT)
    yield ids_BT
    if not sweeps:
        return
    kind = task.settings.energy or "normalised"
    energy_B = energy(task.reader, ids_BT, kind)
    for _ in range(sweeps):
        for place_BT in visits(task, hidden_BT):
            ids_BT, energy_B = _visit(task, ids_BT, energy_B, place_BT, kind)
        yield ids_BT


def energy(reader: Reader, ids_BT: Tensor, kind: Energy) -> Tensor:
    """The energy of each text in nats, float64 [B]; one pass for every token."""
    parts = [torch.zeros(0, dtype=torch.float64)]
    at_once = max(1, _TOKENS_AT_ONCE // ids_BT.shape[1])
    for first in range(0, len(ids_BT), at_once):
        parts.append(_energy(reader, ids_BT[first : first + at_once], kind))
    return torch.cat(parts)


def log_acceptance(
    energy_B: Tensor, proposed_B: Tensor, log_q_B: Tensor, log_q_back_B: Tensor, temperature: float
) -> Tensor:
    """Log of the acceptance probability [B] of moves from `energy` to `proposed`.

    Args:
        log_q_B: log-probability with which the move was proposed; log_q_back_B: of its reverse.
    """
    log_ratio_B = (energy_B - proposed_B) / temperature + log_q_back_B - log_q_B
    return log_ratio_B.clamp(max=0.0)


def _energy(reader: Reader, ids_BT: Tensor, kind: Energy) -> Tensor:
    row_N, position_N = (ids_BT >= FIRST_TEXT_ID).nonzero(as_tuple=True)
    texts_NT = ids_BT[row_N]
    wanted_NT = torch.zeros_like(texts_NT, dtype=torch.bool)
    wanted_NT[torch.arange(len(row_N)), position_N] = True
    logits_NV = reader.logits(texts_NT.masked_fill(wanted_NT, MASK_ID), wanted_NT)
    if kind == "normalised":
        logits_NV = torch.log_softmax(logits_NV, dim=-1)
    found_N = logits_NV.gather(-1, ids_BT[row_N, position_N][:, None])[:, 0]
    return -torch.zeros(len(ids_BT), dtype=torch.float64).index_add(0, row_N, found_N)


def _visit(
    task: Task, ids_BT: Tensor, energy_B: Tensor, place_BT: Tensor, kind: Energy
) -> tuple[Tensor, Tensor]:
    """Proposes a token for one place of each text and takes those that are accepted."""
    uniform_B2 = task.noise.uniform(2)
    visited_B = place_BT.any(dim=1)
    hidden_BT = ids_BT.masked_fill(place_BT, MASK_ID)
    probs_MV = task.law(task.reader.logits(hidden_BT, place_BT))
    new_M, old_M = draw(probs_MV, uniform_B2[visited_B, 0]), ids_BT[place_BT]
    proposed_BT = hidden_BT.clone()
    proposed_BT[place_BT] = new_M

    moved_B = (proposed_BT != ids_BT).any(dim=1)
    moved_M = moved_B[visited_B]
    proposed_energy_B = energy_B.clone()
    proposed_energy_B[moved_B] = energy(task.reader, proposed_BT[moved_B], kind)
    log_q_M, log_q_back_M = (
        probs_MV.gather(-1, ids_M[:, None])[:, 0].log() for ids_M in (new_M, old_M)
    )
    log_accept = log_acceptance(
        energy_B[moved_B],
        proposed_energy_B[moved_B],
        log_q_M[moved_M],
        log_q_back_M[moved_M],
        task.settings.temperature,
    )
    taken_B = moved_B.clone()
    taken_B[moved_B] = uniform_B2[moved_B, 1].log() < log_accept
    task.trace.proposals += int(visited_B.sum())
    # Proposing the token that stands there changes nothing, and is always accepted.
    task.trace.accepted += int((visited_B & ~moved_B).sum() + taken_B.sum())
    task.trace.moves += int(taken_B.sum())
    ids_BT = torch.where(taken_B[:, None], proposed_BT, ids_BT)
    return ids_BT, torch.where(taken_B, proposed_energy_B, energy_B)


def _check(ids_BT: Tensor, settings: Settings) -> None:
    if settings.temperature == 0:
        raise GenerationError(
            "temperature=0 leaves metropolis_hastings no move to accept; give one above 0"
        )


METROPOLIS_HASTINGS = Sampler(
    steps=steps,
    predicts_next=False,
    options=frozenset({"sweeps", "energy"}),
    summary=f"Gibbs moves accepted by the text's energy; `sweeps` (default {DEFAULT_SWEEPS})",
    check=_check,
)
