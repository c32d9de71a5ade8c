"""The tokenizer of a run, found by its fingerprint without reading the corpus."""

from __future__ import annotations

from pathlib import Path

from scaling.spec import RunSpec
from scaling.tokenizer import Tokenizer, byte_tokenizer


def find_tokenizer(spec: RunSpec, *, cache: Path) -> Tokenizer | None:
    """The tokenizer that the run was trained with; None where the cache has lost it."""
    byte_level = byte_tokenizer()
    if byte_level.fingerprint == spec.tokenizer_fingerprint:
        return byte_level
    folders = sorted((cache / "tokenizers").glob("*/tokenizer.json"))
    made = (Tokenizer.load(path.parent) for path in folders)
    return next((t for t in made if t.fingerprint == spec.tokenizer_fingerprint), None)
