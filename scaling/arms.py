"""The arms of the questions: what a sweep compares, one difference at a time. It names them with
the parameter `arm`.

Question 2, what separates GPT from BERT: from next-token prediction to masked language modelling,
each arm changes one thing: how many tokens give a loss, whether the input is corrupted, in which
direction attention looks, at which rate tokens are hidden.

Question 4, what next-sentence prediction does to BERT: the format of pairs comes first and alone,
then a loss on them, with three kinds of wrong pairs, then that loss without MLM. All are cut at
sentences, as segments of the original are.

Question 5, the geometry of [CLS]: the arms of question 4 on pairs, which differ in the loss that
reads [CLS] alone, beside `clm`; and BERT as published, without and with such a loss.
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
    # MLM on windows of text, as RoBERTa is trained.
    "mlm": {"arch": "encoder-pairs", "objective": "mlm"},
    # On pairs whose labels nobody asks for: what does the format cost?
    "mlm-pairs": {"arch": "encoder-pairs", "objective": "mlm-pairs", "pair_cut": "sentence"},
    # BERT: wrong pairs come from two documents.
    "mlm+nsp": {"arch": "encoder-pairs", "objective": "mlm+nsp", "pair_cut": "sentence"},
    # From two places of one document, which share their topic.
    "mlm+nsp-same": {
        "arch": "encoder-pairs",
        "objective": "mlm+nsp",
        "pair_cut": "sentence",
        "negatives": "same_document",
    },
    # ALBERT: wrong pairs are right ones swapped.
    "mlm+sop": {"arch": "encoder-pairs", "objective": "mlm+sop", "pair_cut": "sentence"},
    # No MLM loss: what do pairs alone teach?
    "nsp": {"arch": "encoder-pairs", "objective": "nsp", "pair_cut": "sentence"},
    # BERT as published, without and with a loss on [CLS].
    "bert-mlm": {"arch": "bert", "objective": "mlm"},
    "bert-nsp": {"arch": "bert", "objective": "mlm+nsp"},
}
