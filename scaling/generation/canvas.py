"""What a person asks for as a window of ids: a prompt to go on from, or a gap to fill."""

from __future__ import annotations

import torch
from torch import Tensor

from scaling.generation.sampler import GenerationError
from scaling.tokenizer import CLS_ID, MASK_ID, Tokenizer

GAP = "[ ]"
DEFAULT_TOKENS = 64


def canvas(
    tokenizer: Tokenizer, left: str, right: str, n_tokens: int | None, seq_len: int
) -> Tensor:
    """[CLS], the text on the left, `n_tokens` blanks, the text on the right; int64 [T].

    Args:
        n_tokens: None for as many as there is room for, up to `DEFAULT_TOKENS`.
    Raises:
        GenerationError: they do not fit into the positions that the model was trained on.
    """
    left_ids, right_ids = (torch.from_numpy(tokenizer.encode(text)) for text in (left, right))
    room = seq_len - 1 - len(left_ids) - len(right_ids)
    if room < max(1, n_tokens or 1):
        wanted = f"{n_tokens} more" if n_tokens else "any more"
        raise GenerationError(
            f"the given text has {len(left_ids) + len(right_ids)} tokens, and the model reads "
            f"{seq_len - 1} (seq_len={seq_len} less [CLS]): there is no room for {wanted}; "
            "shorten the text, ask for fewer tokens, or take a model of a longer seq_len"
        )
    n_blanks = min(room, DEFAULT_TOKENS) if n_tokens is None else n_tokens
    return torch.cat(
        [torch.tensor([CLS_ID]), left_ids, torch.full((n_blanks,), MASK_ID), right_ids]
    )


def split_gap(text: str) -> tuple[str, str]:
    """The text left and right of its one gap.

    Raises:
        GenerationError: there is no gap, or more than one.
    """
    if text.count(GAP) != 1:
        raise GenerationError(
            f"the text has {text.count(GAP)} gaps {GAP!r}, and infilling fills one; "
            f'write --infill "def {GAP}:"'
        )
    left, _, right = text.partition(GAP)
    return left, right
