"""The arms of question 2: what separates GPT from BERT, one difference at a time.

From next-token prediction to masked language modelling, each arm changes one thing: how many
tokens give a loss, whether the input is corrupted, in which direction attention looks, at which
rate tokens are hidden. A sweep names them with the parameter `arm`.
"""

from __future__ import annotations

from typing import Any

ARMS: dict[str, dict[str, Any]] = {
    # A0: GPT. All tokens are predicted from those on their left.
    "clm": {"arch": "decoder", "objective": "clm"},
    # A1: the same from as few losses as MLM has: what does the share of targets buy?
    "clm-15": {"arch": "decoder", "objective": "clm", "target_share": 0.15},
    # A2: causal attention over corrupted text: what does corruption cost?
    "causal-mlm-15": {"arch": "decoder", "objective": "mlm", "corruption": "mask"},
    # A3: BERT. Attention in both directions: what does it buy?
    "mlm-15": {"arch": "encoder", "objective": "mlm", "corruption": "mask"},
    # A4: at a higher rate (Wettig et al. 2023, arXiv:2202.08005).
    "mlm-40": {"arch": "encoder", "objective": "mlm", "corruption": "mask", "mask_rate": 0.4},
    # A5: attention in both directions without corruption.
    "prefix": {"arch": "decoder", "objective": "prefix"},
    # A6: at every rate, trained for the bound that masked models are judged by.
    "diffusion": {"arch": "encoder", "objective": "diffusion"},
}
