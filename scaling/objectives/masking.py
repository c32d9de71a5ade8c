"""Which positions are predicted, and what the model sees there."""

from __future__ import annotations

import numpy as np

from scaling.spec import Corruption
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID


def choose_positions(
    candidates_BT: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `k` positions per row without replacement, candidates first.

    Args:
        candidates_BT: True where a position may be chosen.
        k: positions per row.
    Returns:
        positions_BK in ascending order, and chosen_BK, which is False where a row had fewer
        than k candidates and the position only fills the shape.
    """
    keys_BT = rng.random(candidates_BT.shape)
    keys_BT[~candidates_BT] += 1.0
    positions_BK = np.argpartition(keys_BT, k - 1, axis=1)[:, :k]
    positions_BK.sort(axis=1)
    return positions_BK, np.take_along_axis(candidates_BT, positions_BK, axis=1)


def corrupt(
    ids_BT: np.ndarray,
    positions_BK: np.ndarray,
    chosen_BK: np.ndarray,
    *,
    corruption: Corruption,
    vocab_size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """What the model sees of the chosen tokens: `mask`, [MASK] for all; `bert`, for 80 %.

    In BERT's corruption 10 % become a random token and 10 % stay as they are.
    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
    """
    if corruption == "mask":
        hidden_BT = ids_BT.copy()
        original_BK = np.take_along_axis(ids_BT, positions_BK, axis=1)
        seen_BK = np.where(chosen_BK, MASK_ID, original_BK)
        np.put_along_axis(hidden_BT, positions_BK, seen_BK, axis=1)
        return hidden_BT
    draw_BK = rng.random(positions_BK.shape)
    random_ids_BK = rng.integers(FIRST_TEXT_ID, vocab_size, positions_BK.shape)
    original_BK = np.take_along_axis(ids_BT, positions_BK, axis=1)
    seen_BK = np.where(draw_BK < 0.8, MASK_ID, np.where(draw_BK < 0.9, random_ids_BK, original_BK))
    corrupted_BT = ids_BT.copy()
    np.put_along_axis(corrupted_BT, positions_BK, np.where(chosen_BK, seen_BK, original_BK), axis=1)
    return corrupted_BT
