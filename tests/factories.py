"""Small specs and texts that the tests share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scaling.record import Provenance, RunRecord, TermLoss
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


def make_record(spec: RunSpec, status: str = "done", **changes: Any) -> RunRecord:
    """A record of `spec` with round numbers."""
    done = status == "done"
    loss = TermLoss(nats_per_target=2.0, targets=100, standard_error=0.1)
    values: dict[str, Any] = {
        "run_id": spec.run_id,
        "spec": spec,
        "status": status,
        "reason": None if done else "planted",
        "yardsticks": {"clm": "clm"},
        "params": {"blocks": 10},
        "params_total": 10,
        "params_non_embedding": 10,
        "train_flops_per_token": 60.0,
        "train_flops": 60.0 * spec.train_tokens,
        "train_flops_6nd": 60.0 * spec.train_tokens,
        "tokens_seen": spec.train_tokens,
        "tokens_predicted": spec.train_tokens,
        "tokens_unique": 100,
        "losses": {"clm": loss} if done else {},
        "bits_per_byte": 2.5 if done else None,
        "bits_per_byte_kind": "exact" if done else None,
        "bits_per_byte_standard_error": 0.1 if done else None,
        "curve": (),
        "provenance": Provenance(
            wall_seconds=1.0,
            train_seconds=1.0,
            spent_flops=1.0,
            forked_from=None,
            attempts=1,
            device="cpu",
            versions={},
            git_commit=None,
            finished_at="2026-01-01T00:00:00+00:00",
        ),
    }
    return RunRecord(**values | changes)


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
