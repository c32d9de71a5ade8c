"""The shape of a model and of its steps, in plain values that any process can be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Family = Literal["gpt", "bert"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What is trained: GPT with a causal loss on all positions, or BERT with a masked one.

    Attributes:
        vocab_size: entries, the special tokens included.
        batch_tokens: positions per optimizer step.
    """

    family: Family
    vocab_size: int
    d_model: int
    n_layer: int
    n_head: int
    seq_len: int
    batch_tokens: int

    @property
    def d_ff(self) -> int:
        return 4 * self.d_model

    @property
    def rows(self) -> int:
        """Sequences per step."""
        return self.batch_tokens // self.seq_len

    @property
    def name(self) -> str:
        return f"{self.family}, V={self.vocab_size}, d={self.d_model}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
