"""The encoder of the matched pair with what sentence pairs take: segments, pooler, pair head.

Published BERT starts all weights at 0.02, which at widths under a few hundred leaves attention and
pooler so blind that a small model of little text never begins to tell pairs apart
(docs/questions.md, section 4). This one starts as the matched pair does.
"""

from __future__ import annotations

import dataclasses

from scaling.models.bert import Bert
from scaling.models.encoder import ENCODER
from scaling.spec import RunSpec

PAIR_ENCODER = dataclasses.replace(ENCODER, n_segments=2)


def pair_encoder(spec: RunSpec) -> Bert:
    return Bert(spec, PAIR_ENCODER)
