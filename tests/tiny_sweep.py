"""A sweep file of the smallest runs there are, on a text of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scaling.text import Text, load_text
from tests.factories import write_documents


def tiny_parameters(folder: Path, **changes: Any) -> dict[str, Any]:
    """Two horizons on one trunk of a decoder of one layer; None takes a parameter out."""
    text = folder / "text.jsonl"
    if not text.exists():
        write_documents(text)
    values = {
        "corpus": f"files:{text}",
        "tokenizer": "bytes",
        "arch": "decoder",
        "n_layer": 1,
        "d_model": 16,
        "n_head": 2,
        "seq_len": 32,
        "batch_tokens": 256,
        "warmup_tokens": 256,
        "peak_lr": 0.004,
        "precision": "float32",
        "eval_tokens": 1024,
        "train_tokens": [2560, 5120],
    } | changes
    return {name: value for name, value in values.items() if value is not None}


def write_tiny_sweep(folder: Path, *, name: str = "tiny", **changes: Any) -> Path:
    """Writes the file; lists are axes of the grid."""
    parameters = {
        key: {"values" if isinstance(value, list) else "value": value}
        for key, value in tiny_parameters(folder, **changes).items()
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "method": "grid", "parameters": parameters}))
    return path


def loader(folder: Path) -> Any:
    """Reads texts with a cache under `folder`."""

    def load(corpus: str, tokenizer: str, vocab_size: int | None) -> Text:
        return load_text(
            corpus=corpus, tokenizer=tokenizer, vocab_size=vocab_size, cache=folder / "cache"
        )

    return load
