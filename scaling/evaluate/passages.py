"""Passages of one length from held-out documents, so that length explains nothing."""

# Array axes: N passages, T positions.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.errors import EvaluationError
from scaling.text import TokenStream
from scaling.tokenizer import CLS_ID


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Passages:
    """[CLS] and text tokens, the same number of passages from each document.

    Attributes:
        ids_NT: int64.
        document_N: the number of the document that each comes from.
    """

    ids_NT: np.ndarray
    document_N: np.ndarray


def draw_passages(
    stream: TokenStream, *, positions: int, documents: int, per_document: int, seed: int
) -> Passages:
    """Random passages that do not overlap and cross no document.

    Args:
        positions: of each passage, [CLS] included.
        documents: the most that are used; all that are long enough where these are fewer.
    Raises:
        EvaluationError: fewer than two documents are long enough.
    """
    width = positions - 1
    starts = stream.document_starts
    # The [SEP] that closes a document is no text of it.
    slots = (np.diff(starts) - 1) // width
    long_enough = np.flatnonzero(slots >= per_document)
    if len(long_enough) < 2:
        raise EvaluationError(
            f"{stream.name} has {len(long_enough)} documents of {per_document * width} tokens, and "
            "pairs of documents need 2; ask for fewer positions or a smaller per_document"
        )
    rng = np.random.default_rng(seed)
    count = min(documents, len(long_enough))
    chosen = np.sort(rng.choice(long_enough, count, replace=False))
    ids, numbers = [], []
    for document in chosen:
        for slot in np.sort(rng.choice(slots[document], per_document, replace=False)):
            first = int(starts[document]) + int(slot) * width
            ids.append(np.append(CLS_ID, stream.ids[first : first + width].astype(np.int64)))
            numbers.append(document)
    return Passages(ids_NT=np.stack(ids), document_N=np.array(numbers))
