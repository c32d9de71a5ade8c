"""A trained model as samplers see it: logits of text tokens, and the count of what they cost."""

# Tensor axes: B texts, T positions, M places to fill, V vocabulary.

from __future__ import annotations

import torch
from torch import Tensor

from scaling.generation.cost import Cost
from scaling.models import LanguageModel
from scaling.models.cache import KeyValueCache
from scaling.objectives import OBJECTIVES
from scaling.spec import RunSpec
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

# Positions that go through the model at a time; more of them is no faster on a CPU.
_POSITIONS_AT_ONCE = 2**14


class Reader:
    """Logits of a model, float64 on the CPU, where samplers draw from them.

    Special tokens have none: no objective has them as targets, so a model has no opinion on them,
    and a text ends where its window does.

    Attributes:
        cost: of all that was read so far.
        predicts_next: whether the model predicts the next token, or hidden ones.
    """

    def __init__(self, model: LanguageModel, spec: RunSpec) -> None:
        self.model, self.spec = model.eval(), spec
        self.predicts_next = OBJECTIVES[spec.objective].predicts_next
        self.reads_prefix = OBJECTIVES[spec.objective].reads_prefix
        self.device = next(model.parameters()).device
        self.cost = Cost()

    @torch.no_grad()
    def logits(self, ids_BT: Tensor, wanted_BT: Tensor) -> Tensor:
        """What a masked model says of the wanted places, in the order of rows: float64 [M, V].

        Rows without a wanted place are not read.
        """
        rows_B = wanted_BT.any(dim=1)
        ids_BT, wanted_BT = ids_BT[rows_B], wanted_BT[rows_B]
        at_once = max(1, _POSITIONS_AT_ONCE // ids_BT.shape[1])
        parts = [torch.empty((0, self.spec.vocab_size), dtype=torch.float64)]
        for first in range(0, len(ids_BT), at_once):
            ids, wanted = (x_BT[first : first + at_once] for x_BT in (ids_BT, wanted_BT))
            hidden_BTE = self.model(ids.to(self.device))
            hidden_ME = hidden_BTE[wanted.to(self.device)]
            parts.append(_text_only(self.model.logits(hidden_ME)))
            self.cost.add(
                rows=len(ids), n_new=ids.shape[1], n_past=0, head_positions=len(hidden_ME)
            )
        return torch.cat(parts)

    def start(self, ids_BT: Tensor) -> tuple[Tensor, KeyValueCache]:
        """Reads the start of a text into a new cache; logits [B, V] of the token after it."""
        cache = self.model.new_cache()
        return self._extend(ids_BT, cache, is_prefix=self.reads_prefix), cache

    def extend(self, ids_B: Tensor, cache: KeyValueCache) -> Tensor:
        """Reads one more token of each text; logits [B, V] of the one after it."""
        return self._extend(ids_B[:, None], cache)

    @torch.no_grad()
    def _extend(self, ids_BT: Tensor, cache: KeyValueCache, *, is_prefix: bool = False) -> Tensor:
        rows, n_new = ids_BT.shape
        n_past = cache.n_positions
        hidden_BTE = self.model.extend(ids_BT.to(self.device), cache, is_prefix=is_prefix)
        self.cost.add(rows=rows, n_new=n_new, n_past=n_past, head_positions=rows)
        return _text_only(self.model.logits(hidden_BTE[:, -1]))


def blanks(ids_BT: Tensor) -> Tensor:
    """True where a token is to be filled in."""
    return ids_BT == MASK_ID


def _text_only(logits_MV: Tensor) -> Tensor:
    # Not all devices have float64: the CPU does.
    logits_MV = logits_MV.cpu().double()
    logits_MV[:, :FIRST_TEXT_ID] = -torch.inf
    return logits_MV
