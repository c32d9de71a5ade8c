"""Small specs and texts that the tests share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scaling.spec import RunSpec
from scaling.text import Text, load_text


def make_spec(**changes: Any) -> RunSpec:
    """A decoder of one layer on bytes: 20 steps of 512 tokens."""
    values: dict[str, Any] = {
        "arch": "decoder",
        "objective": "clm",
        "corpus": "files:text.txt",
        "corpus_fingerprint": "corpus",
        "tokenizer": "bytes",
        "tokenizer_fingerprint": "tokenizer",
        "vocab_size": 260,
        "n_layer": 1,
        "d_model": 32,
        "n_head": 2,
        "d_ff": 128,
        "seq_len": 32,
        "train_tokens": 512 * 20,
        "batch_tokens": 512,
        "warmup_tokens": 512 * 4,
        "cooldown_tokens": 512 * 4,
        "peak_lr": 0.004,
        "eval_tokens": 1024,
    }
    return RunSpec(**{**values, **changes})


def write_documents(path: Path, *, n_documents: int = 60, words: int = 150, seed: int = 0) -> Path:
    """A JSONL file of documents whose words follow each other by a fixed sparse rule."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lexicon = ["".join(rng.choice(letters, rng.integers(2, 7))) for _ in range(80)]
    successors = rng.integers(0, len(lexicon), (len(lexicon), 3))
    with path.open("w", encoding="utf-8") as file:
        for _ in range(n_documents):
            word, text = int(rng.integers(len(lexicon))), []
            for _ in range(words):
                text.append(lexicon[word])
                word = int(successors[word, rng.integers(3)])
            file.write(json.dumps({"text": " ".join(text)}) + "\n")
    return path


def make_text(folder: Path) -> Text:
    """The documents above as bytes."""
    path = folder / "text.jsonl"
    if not path.exists():
        write_documents(path)
    return load_text(
        corpus=f"files:{path}", tokenizer="bytes", vocab_size=None, cache=folder / "cache"
    )


def spec_for(text: Text, **changes: Any) -> RunSpec:
    """`make_spec` on a given text."""
    return make_spec(
        corpus=text.corpus,
        corpus_fingerprint=text.corpus_fingerprint,
        tokenizer_fingerprint=text.tokenizer.fingerprint,
        vocab_size=text.tokenizer.vocab_size,
        **changes,
    )
