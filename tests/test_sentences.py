"""Sentences: where they begin, by marks in natural text and by length in a generated one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.sentences import sentences_of
from scaling.text import Text, load_text

DOCUMENTS = [
    'A first one. A "second!" (And a third?) Then e.g. more.\n\nA heading\nThe last',
    "Version 3.14 is no end. It is not!",
]
SENTENCES = [
    "A first one.", ' A "second!"', " (And a third?)", " Then e.g.", " more.\n\n", "A heading\n",
    "The last", "Version 3.14 is no end.", " It is not!",
]  # fmt: skip


def make_text(folder: Path, tokenizer: str) -> Text:
    for name, documents in (("train", DOCUMENTS * 30), ("validation", DOCUMENTS)):
        lines = "".join(json.dumps({"text": document}) + "\n" for document in documents)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    vocab_size = 290 if tokenizer == "bpe" else None
    return load_text(
        corpus=f"files:{folder}", tokenizer=tokenizer, vocab_size=vocab_size, cache=folder / "cache"
    )


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_a_sentence_ends_at_a_mark_before_a_space_and_at_the_end_of_a_line(
    tokenizer: str, tmp_path: Path
) -> None:
    text = make_text(tmp_path, tokenizer)
    found = sentences_of(text, text.validation)
    ids = text.validation.ids
    spans = zip(found.starts, found.ends, strict=True)
    read = [text.tokenizer.decode(ids[start:end]) for start, end in spans]
    if tokenizer == "bytes":
        # A byte tells less than a word: the mark must stand right before the space.
        expected = "|".join(SENTENCES).replace('!"| (', '!" (').replace("?)| ", "?) ").split("|")
    else:
        expected = SENTENCES
    assert read == expected
    assert "".join(read) == "".join(DOCUMENTS)
    in_first = sum(len(sentence) for sentence in read[: (found.documents == 0).sum()])
    assert in_first == len(DOCUMENTS[0])


def test_sentences_of_a_grammar_are_as_long_as_it_says(tmp_path: Path) -> None:
    corpus = "grammar:depth=2,symbols=6,rules=3,sentences=3,documents=20,validation_documents=5"
    text = load_text(corpus=corpus, tokenizer="bytes", vocab_size=None, cache=tmp_path)
    found = sentences_of(text, text.validation)
    assert np.array_equal(found.documents, np.repeat(np.arange(5), 3))
    places = np.arange(5)[:, None] * 13 + np.arange(3) * 4
    assert np.array_equal(found.starts, places.reshape(-1))
    assert np.array_equal(found.ends, found.starts + 4)
