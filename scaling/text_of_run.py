"""The text that a run was or will be trained on."""

from __future__ import annotations

from pathlib import Path

from scaling.spec import RunSpec
from scaling.text import Text, load_text


def text_of(spec: RunSpec, cache: Path) -> Text:
    """The text that the spec names, from the cache where it is there."""
    return load_text(
        corpus=spec.corpus,
        tokenizer=spec.tokenizer,
        vocab_size=None if spec.tokenizer == "bytes" else spec.vocab_size,
        cache=cache,
    )


def check_text(spec: RunSpec, text: Text) -> None:
    """Raises ValueError unless the text is the one whose fingerprints the spec holds."""
    for name, of_spec, of_text in (
        ("corpus", spec.corpus_fingerprint, text.corpus_fingerprint),
        ("tokenizer", spec.tokenizer_fingerprint, text.tokenizer.fingerprint),
    ):
        if of_spec != of_text:
            raise ValueError(
                f"the {name} of {spec.corpus!r} has fingerprint {of_text}, the spec names "
                f"{of_spec}: the text has changed since the sweep was planned; plan it again"
            )
