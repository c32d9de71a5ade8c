"""How large a validation set a wanted standard error takes, before anything is trained.

The spread that a loss will have is not known then; that of the unigram code on the same windows is.
On the source text of Python's standard library (bytes, 64 positions) the loss of trained models had
0.9 to 1.2 times its standard error.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from scaling.batches import validation_windows
from scaling.errors import SweepError
from scaling.evaluate.validation import ratio_of_sums
from scaling.objectives.validation_set import BLOCK_ROWS
from scaling.text import Text
from scaling.tokenizer import FIRST_TEXT_ID

# Blocks that the spread is taken from, or as many as the held-out split has.
_PILOT_BLOCKS = 256


@lru_cache(maxsize=16)
def tokens_for_standard_error(text: Text, seq_len: int, nats: float) -> int:
    """Positions of a validation set whose mean loss has about that standard error.

    Args:
        nats: per target.
    Raises:
        SweepError: it is not positive, or the held-out split is too short for it.
    """
    if not (math.isfinite(nats) and nats > 0):
        raise SweepError(f"eval_standard_error={nats} is not a positive number; 0.02 is usual")
    everything = validation_windows(text.validation, seq_len=seq_len, n_sequences=1 << 60)
    most = len(everything)
    pilot = min(most, _PILOT_BLOCKS * BLOCK_ROWS)
    error = unigram_standard_error(text, seq_len, pilot)
    if error is None:
        return most * seq_len
    # Errors of means shrink with the root of the number of blocks.
    wanted = math.ceil(pilot / BLOCK_ROWS * (error / nats) ** 2) * BLOCK_ROWS
    if wanted > most:
        least = error * math.sqrt(pilot / most)
        raise SweepError(
            f"eval_standard_error={nats:g} takes {wanted} windows, and the held-out split of "
            f"{text.corpus!r} has {most}: give {math.ceil(least * 1e3) / 1e3:g} or more, or a "
            "longer text"
        )
    return wanted * seq_len


def unigram_standard_error(text: Text, seq_len: int, n_sequences: int) -> float | None:
    """Of the unigram code's mean nats per token, over blocks; None of a single block."""
    ids_BT = validation_windows(text.validation, seq_len=seq_len, n_sequences=n_sequences)
    counts_BT = ids_BT >= FIRST_TEXT_ID
    nats_BT = np.where(counts_BT, text.unigram_nats[ids_BT], 0.0)
    blocks = [
        (float(nats_BT[i : i + BLOCK_ROWS].sum()), float(counts_BT[i : i + BLOCK_ROWS].sum()))
        for i in range(0, len(ids_BT), BLOCK_ROWS)
    ]
    return ratio_of_sums(blocks)[1]
