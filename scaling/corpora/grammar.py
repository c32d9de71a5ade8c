"""Corpus `grammar:KNOB=VALUE,...`: documents of a generated language with known probabilities.

Each document fills one window of `document_tokens + 2` positions with its [CLS] and [SEP], and
windows are cut at documents, so that what a model sees is what the optimum is computed for. Both
splits are drawn from the grammar, independently: a text that is likely is in both of them.
"""

from __future__ import annotations

from pathlib import Path

from scaling.corpora.documents import Corpus, CorpusError, as_drawn
from scaling.grammar.rules import Grammar, GrammarError, GrammarKnobs, make_grammar
from scaling.grammar.sampling import TRAIN, VALIDATION, draw_documents, to_text

KIND = "grammar"


def read_grammar(place: str, cache: Path | None = None) -> Corpus:
    """Draws the documents of the grammar that `place` describes, as `depth=3,symbols=8`.

    Raises:
        CorpusError: a knob is unknown or its value makes no grammar.
    """
    name = f"{KIND}:{place}" if place else KIND
    try:
        knobs = GrammarKnobs.parse(place)
    except GrammarError as error:
        raise CorpusError(f"corpus={name!r}: {error}") from None
    grammar = make_grammar(knobs)
    return as_drawn(
        name,
        to_text(draw_documents(grammar, knobs.documents, stream=TRAIN)),
        to_text(draw_documents(grammar, knobs.validation_documents, stream=VALIDATION)),
    )


def known_grammar(corpus: str) -> Grammar | None:
    """The grammar that a corpus was drawn from; None for any other corpus."""
    kind, _, place = corpus.partition(":")
    return make_grammar(GrammarKnobs.parse(place)) if kind == KIND else None
