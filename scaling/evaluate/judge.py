"""A judge: a causal model that has read other documents, and says how likely a text is.

A judge that had read what the writer has read would take copied text for good text. So its train
split must share no document with the writer's, which is checked document by document; the corpora
`half:first:CORPUS` and `half:second:CORPUS` make such a pair. Nor may it have read the held-out
text that stands beside what was written. Its opinion is that of a small model of the suite: it
compares texts with each other and is no perplexity that another paper reports.
"""

# Tensor axes: B texts, T positions, V vocabulary.

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import torch
from torch import Tensor

from scaling.errors import EvaluationError
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES
from scaling.spec import RunSpec
from scaling.text import Text, TokenStream
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

_TEXTS_AT_ONCE = 128


def check_judge(judge: RunSpec, writer: RunSpec) -> None:
    """Raises EvaluationError for a judge that cannot read what the writer writes."""
    if not OBJECTIVES[judge.objective].predicts_next:
        raise EvaluationError(
            f"judge={judge.run_id} is trained for objective={judge.objective!r}, which gives no "
            "exact probability of a text; choose a run of objective clm"
        )
    if judge.tokenizer_fingerprint != writer.tokenizer_fingerprint:
        raise EvaluationError(
            f"judge={judge.run_id} reads other tokens (tokenizer {judge.tokenizer_fingerprint}) "
            f"than the run writes ({writer.tokenizer_fingerprint}); train it with the same one"
        )
    if judge.seq_len < writer.seq_len:
        raise EvaluationError(
            f"judge={judge.run_id} reads seq_len={judge.seq_len} positions, and the run writes "
            f"{writer.seq_len}; train the judge at seq_len={writer.seq_len} or more"
        )


def check_held_out(judge_id: str, judge: Text, writer: Text) -> None:
    """Raises EvaluationError where the judge was trained on what it must not have read."""
    read = _documents(judge.train)
    for stream, what in ((writer.train, "train"), (writer.validation, "validation")):
        shared = len(read & _documents(stream))
        if shared:
            raise EvaluationError(
                f"judge={judge_id} was trained on {shared} of the {stream.n_documents} {what} "
                "documents of the run that it judges; train the run on half:first:CORPUS and the "
                "judge on half:second:CORPUS"
            )


@torch.no_grad()
def judged_nats(
    model: LanguageModel, ids_BT: Tensor, canvases_BT: Tensor, *, device: torch.device
) -> np.ndarray:
    """Mean nats per token [B] under the judge, of the text tokens from the first blank on.

    What is given after a blank counts: it is what the blank has to fit.
    """
    counts_BT = (canvases_BT == MASK_ID).int().cumsum(dim=1) > 0
    counts_BT &= ids_BT >= FIRST_TEXT_ID
    found = []
    for first in range(0, len(ids_BT), _TEXTS_AT_ONCE):
        part = slice(first, first + _TEXTS_AT_ONCE)
        ids = ids_BT[part].to(device)
        logits_BTV = model.logits(model(ids[:, :-1])).double()
        log_p_BTV = logits_BTV.cpu().log_softmax(-1)
        nats_BT = -log_p_BTV.gather(-1, ids_BT[part, 1:, None])[..., 0]
        counts = counts_BT[part, 1:]
        found.append((nats_BT * counts).sum(dim=1) / counts.sum(dim=1))
    return torch.cat(found).numpy()


def _documents(stream: TokenStream) -> set[bytes]:
    starts = stream.document_starts.tolist()
    return {
        hashlib.sha256(stream.ids[first:end].astype("<u4").tobytes()).digest()
        for first, end in itertools.pairwise(starts)
    }
