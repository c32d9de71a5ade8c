"""GPT2LMHeadModel and BertForMaskedLM of `transformers`, in a plain loop and in its Trainer.

No dropout and the exact GELU, as everywhere here; all else is the library's default, but that GPT-2
keeps no cache of keys, which training has no use for.
"""

# Tensor axes: B batch, T sequence.

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from tests.benchmarks.step import loop


def build(shape: Shape) -> nn.Module:
    return {"gpt": _gpt2, "bert": _bert}[shape.family](shape)


def _gpt2(shape: Shape) -> nn.Module:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocab_size,
            n_positions=shape.seq_len,
            n_embd=shape.d_model,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def _bert(shape: Shape) -> nn.Module:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=shape.vocab_size,
            max_position_embeddings=shape.seq_len,
            hidden_size=shape.d_model,
            num_hidden_layers=shape.n_layer,
            num_attention_heads=shape.n_head,
            intermediate_size=shape.d_ff,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def train_in_loop(shape: Shape, gate: Gate) -> None:
    model = build(shape)

    def loss_of(inputs_BT: Tensor, labels_BT: Tensor) -> Tensor:
        loss: Tensor = model(input_ids=inputs_BT, labels=labels_BT).loss
        return loss

    batches = {"gpt": _own_labels, "bert": loop.masked_batches}[shape.family]
    loop.train(model, loss_of, batches(shape), gate)


def _own_labels(shape: Shape) -> loop.Batches:
    """GPT2LMHeadModel shifts the labels itself."""
    for inputs_BT, _ in loop.causal_batches(shape):
        yield inputs_BT, inputs_BT


class _Windows(Dataset[dict[str, Tensor]]):
    """Windows of the text, as a map-style dataset."""

    def __init__(self, shape: Shape) -> None:
        self._tokens = loop.tokens(shape.vocab_size)
        self._length = shape.seq_len

    def __len__(self) -> int:
        return len(self._tokens) // self._length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        ids_T = self._tokens[index * self._length : (index + 1) * self._length]
        return {"input_ids": ids_T, "labels": ids_T}


class _Counter(TrainerCallback):  # type: ignore[misc]
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def on_step_end(self, *arguments: Any, **options: Any) -> None:
        self._gate.passed()


def train_in_trainer(shape: Shape, gate: Gate) -> None:
    model = build(shape)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=shape.rows,
                max_steps=1_000_000,
                learning_rate=1e-4,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=_Windows(shape),
            data_collator=_collators(shape)[shape.family],
            callbacks=[_Counter(gate)],
        )
        gate.built(sum(p.numel() for p in model.parameters()))
        trainer.train()


def _collators(shape: Shape) -> dict[str, Any]:
    def stacked(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        ids_BT = torch.stack([row["input_ids"] for row in rows])
        return {"input_ids": ids_BT, "labels": ids_BT}

    def masked(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        shown_BT, labels_BT = loop.mask(
            torch.stack([row["input_ids"] for row in rows]), shape.vocab_size
        )
        return {"input_ids": shown_BT, "labels": labels_BT}

    return {"gpt": stacked, "bert": masked}
