"""Our weights under the names, layouts and settings of the `transformers` classes.

The matched pair is GPT-2 with the exact GELU; its bidirectional half is GPT-2 with `is_causal`
off. No masked-language-model class serves it: those with norms before the sublayers put a linear
layer, a GELU and a norm between the last layer and the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scaling.spec import RunSpec
from scaling.tokenizer import CLS_ID, PAD_ID, SEP_ID

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How one architecture stands in `transformers`.

    Attributes:
        config: (spec, is_causal) -> keyword arguments of the configuration.
        weights: our state dict -> theirs, without the keys that they tie.
    """

    config_class: str
    model_class: str
    config: Callable[[RunSpec, bool], dict[str, Any]]
    weights: Callable[[Weights], Weights]


_GPT2_NAMES = {
    r"token_embedding\.": "transformer.wte.",
    r"position_embedding\.": "transformer.wpe.",
    r"final_norm\.": "transformer.ln_f.",
    r"blocks\.(\d+)\.attention_norm\.": r"transformer.h.\1.ln_1.",
    r"blocks\.(\d+)\.attention\.qkv\.": r"transformer.h.\1.attn.c_attn.",
    r"blocks\.(\d+)\.attention\.out\.": r"transformer.h.\1.attn.c_proj.",
    r"blocks\.(\d+)\.feed_forward_norm\.": r"transformer.h.\1.ln_2.",
    r"blocks\.(\d+)\.feed_forward\.up\.": r"transformer.h.\1.mlp.c_fc.",
    r"blocks\.(\d+)\.feed_forward\.down\.": r"transformer.h.\1.mlp.c_proj.",
}

_BERT_LAYER = r"BASE.encoder.layer.\1."
_BERT_NAMES = {
    r"token_embedding\.": "BASE.embeddings.word_embeddings.",
    r"position_embedding\.": "BASE.embeddings.position_embeddings.",
    r"segment_embedding\.": "BASE.embeddings.token_type_embeddings.",
    r"embedding_norm\.": "BASE.embeddings.LayerNorm.",
    r"blocks\.(\d+)\.attention\.(query|key|value)\.": _BERT_LAYER + r"attention.self.\2.",
    r"blocks\.(\d+)\.attention\.out\.": _BERT_LAYER + "attention.output.dense.",
    r"blocks\.(\d+)\.attention_norm\.": _BERT_LAYER + "attention.output.LayerNorm.",
    r"blocks\.(\d+)\.feed_forward\.up\.": _BERT_LAYER + "intermediate.dense.",
    r"blocks\.(\d+)\.feed_forward\.down\.": _BERT_LAYER + "output.dense.",
    r"blocks\.(\d+)\.feed_forward_norm\.": _BERT_LAYER + "output.LayerNorm.",
    r"pooler\.": "BASE.pooler.dense.",
    r"head\.transform\.": "cls.predictions.transform.dense.",
    r"head\.norm\.": "cls.predictions.transform.LayerNorm.",
    r"head\.bias$": "cls.predictions.bias",
    r"pair_head\.": "cls.seq_relationship.",
}
_ROBERTA_NAMES = _BERT_NAMES | {
    r"head\.transform\.": "lm_head.dense.",
    r"head\.norm\.": "lm_head.layer_norm.",
    r"head\.bias$": "lm_head.bias",
}


def _gpt2_weights(weights: Weights) -> Weights:
    named = _rename(weights, _GPT2_NAMES)
    # Their linear layers of the blocks hold [in, out].
    linear = re.compile(r"\.c_\w+\.weight$")
    return {name: w.t().contiguous() if linear.search(name) else w for name, w in named.items()}


def _bert_weights(weights: Weights) -> Weights:
    return _rename(_split_qkv(weights), _BERT_NAMES, base="bert")


def _roberta_weights(weights: Weights) -> Weights:
    named = _rename(_split_qkv(weights), _ROBERTA_NAMES, base="roberta")
    # Their positions start behind that of padding, which is row `pad_token_id` = 0.
    positions = "roberta.embeddings.position_embeddings.weight"
    named[positions] = torch.cat([torch.zeros_like(named[positions][:1]), named[positions]])
    width = named[positions].shape[1]
    named["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, width)
    return named


def _rename(weights: Weights, names: Mapping[str, str], *, base: str = "") -> Weights:
    renamed = {}
    for name, weight in weights.items():
        for pattern, theirs in names.items():
            new_name, found = re.subn("^" + pattern, theirs.replace("BASE", base), name)
            if found:
                renamed[new_name] = weight
                break
        else:
            raise AssertionError(f"no name for {name}")
    return renamed


def _split_qkv(weights: Weights) -> Weights:
    split: Weights = {}
    for name, weight in weights.items():
        if ".qkv." not in name:
            split[name] = weight
            continue
        for part, value in zip(("query", "key", "value"), weight.chunk(3), strict=True):
            split[name.replace("qkv", part)] = value.contiguous()
    return split


def _gpt2_config(spec: RunSpec, is_causal: bool) -> dict[str, Any]:
    # A missing `is_causal` means causal, in every version.
    direction = {} if is_causal else {"is_causal": False, "use_cache": False}
    return {
        "vocab_size": spec.vocab_size,
        "n_positions": spec.seq_len,
        "n_embd": spec.d_model,
        "n_layer": spec.n_layer,
        "n_head": spec.n_head,
        "n_inner": spec.d_ff,
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": CLS_ID,
        "eos_token_id": SEP_ID,
        "pad_token_id": PAD_ID,
        **direction,
    }


def _matched_config(spec: RunSpec, is_causal: bool) -> dict[str, Any]:
    return _gpt2_config(spec, is_causal) | {"activation_function": "gelu"}


def _bert_config(spec: RunSpec, is_causal: bool) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocab_size,
        "max_position_embeddings": spec.seq_len,
        "hidden_size": spec.d_model,
        "num_hidden_layers": spec.n_layer,
        "num_attention_heads": spec.n_head,
        "intermediate_size": spec.d_ff,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "bos_token_id": CLS_ID,
        "eos_token_id": SEP_ID,
        "pad_token_id": PAD_ID,
    }


def _roberta_config(spec: RunSpec, is_causal: bool) -> dict[str, Any]:
    return _bert_config(spec, is_causal) | {
        "max_position_embeddings": spec.seq_len + 1,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }


_MATCHED = Format(
    config_class="GPT2Config",
    model_class="GPT2LMHeadModel",
    config=_matched_config,
    weights=_gpt2_weights,
)

FORMATS: dict[str, Format] = {
    "bert": Format(
        config_class="BertConfig",
        model_class="BertForPreTraining",
        config=_bert_config,
        weights=_bert_weights,
    ),
    "roberta": Format(
        config_class="RobertaConfig",
        model_class="RobertaForMaskedLM",
        config=_roberta_config,
        weights=_roberta_weights,
    ),
    "gpt": Format(
        config_class="GPT2Config",
        model_class="GPT2LMHeadModel",
        config=_gpt2_config,
        weights=_gpt2_weights,
    ),
    "encoder": _MATCHED,
    "decoder": _MATCHED,
}
