"""What generated texts start from: windows of held-out text with blanks in them.

The same windows, without blanks, are the reference that generated text is measured beside.
"""

# Tensor axes: B texts, T positions.

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from scaling.batches import validation_windows
from scaling.errors import EvaluationError
from scaling.text import Text
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

Given = Literal["nothing", "prefix", "both_sides"]

# Of n text tokens: the first and the last one to fill, for the quarters that they are cut into.
BLANKS: dict[Given, Callable[[int], tuple[int, int]]] = {
    "nothing": lambda n: (0, n),
    "prefix": lambda n: (n // 2, n),
    "both_sides": lambda n: (n // 4, n - n // 4),
}


def real_windows(text: Text, *, seq_len: int, n_texts: int) -> np.ndarray:
    """Held-out windows int64 [B, T], each from within one document, spread over the split.

    Raises:
        EvaluationError: there are not enough of them.
    """
    windows_BT = validation_windows(
        text.validation, seq_len=seq_len, n_sequences=len(text.validation.ids)
    )
    # A window may end with the [SEP] of its document, as the documents of a grammar do.
    whole_B = (windows_BT[:, 1:-1] >= FIRST_TEXT_ID).all(axis=1)
    # Either all end so, or none: texts of one length.
    ends_B = windows_BT[:, -1] < FIRST_TEXT_ID
    whole_B &= ends_B == (np.median(ends_B[whole_B]) > 0.5 if whole_B.any() else False)
    found_BT = windows_BT[whole_B]
    if len(found_BT) < n_texts:
        raise EvaluationError(
            f"samples={n_texts}, but {text.validation.name} has {len(found_BT)} windows of "
            f"seq_len={seq_len} from within one document; ask for fewer samples"
        )
    spread_B = np.arange(n_texts) * len(found_BT) // n_texts
    chosen_BT: np.ndarray = found_BT[spread_B]
    return chosen_BT


def with_blanks(windows_BT: np.ndarray, given: Given) -> np.ndarray:
    """The windows with [MASK] where text is to be filled in: all, the second half, the middle."""
    is_text_T = windows_BT[0] >= FIRST_TEXT_ID
    positions = np.nonzero(is_text_T)[0]
    first, end = BLANKS[given](len(positions))
    canvases_BT = windows_BT.copy()
    canvases_BT[:, positions[first:end]] = MASK_ID
    return canvases_BT
