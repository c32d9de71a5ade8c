"""A corpus is read once, and again as soon as one of its files was touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.corpora import CorpusError, known, source
from scaling.corpora.source import Source
from scaling.text import load_text
from tests.factories import write_documents


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What was written a moment ago is trusted: the test need not wait.
    monkeypatch.setattr(known, "_SETTLED_SECONDS", 0.0)
    (tmp_path / "texts").mkdir()
    return write_documents(tmp_path / "texts" / "a.jsonl")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The corpora that were read."""
    found: list[str] = []
    read = source.read_documents

    def spy(corpus: str, **options: Any) -> Any:
        found.append(corpus)
        return read(corpus, **options)

    monkeypatch.setattr(source, "read_documents", spy)
    return found


def load(corpus: Path) -> Any:
    return load_text(
        corpus=f"files:{corpus.parent}", tokenizer="bytes", vocab_size=None,
        cache=corpus.parent.parent / "cache",
    )  # fmt: skip


def test_a_corpus_that_is_known_is_not_read(corpus: Path, reads: list[str]) -> None:
    first, second = load(corpus), load(corpus)
    assert len(reads) == 1
    assert second.corpus_fingerprint == first.corpus_fingerprint
    assert json.loads(json.dumps(first.facts)) == second.facts
    assert (second.train.ids == first.train.ids).all()


def replace_in_place(path: Path) -> None:
    """Another text of the same size, with the time of the first one: as rsync would leave it."""
    before = path.stat()
    path.write_text(path.read_text().replace("a", "b"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_a_file(path: Path) -> None:
    write_documents(path.with_name("b.jsonl"), seed=1)


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"text": "one more"}\n')


@pytest.mark.parametrize("change", [replace_in_place, add_a_file, append])
def test_a_corpus_that_was_touched_is_read_again(
    corpus: Path, reads: list[str], change: Callable[[Path], None]
) -> None:
    first = load(corpus)
    change(corpus)
    assert load(corpus).corpus_fingerprint != first.corpus_fingerprint
    assert len(reads) == 2


def test_a_file_that_was_written_just_now_is_not_trusted(
    corpus: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_SETTLED_SECONDS", 3600.0)
    load(corpus)
    load(corpus)
    assert len(reads) == 2


def test_a_damaged_summary_is_made_again(corpus: Path, reads: list[str]) -> None:
    first = load(corpus)
    [path] = (corpus.parent.parent / "cache" / "corpora").iterdir()
    path.write_text(path.read_text().replace(first.corpus_fingerprint, "0" * 16))
    assert load(corpus).corpus_fingerprint == first.corpus_fingerprint
    assert len(reads) == 2


def test_a_corpus_that_changes_behind_its_summary_is_refused(corpus: Path, tmp_path: Path) -> None:
    place = f"files:{corpus.parent}"
    Source(place, tmp_path / "cache")
    again = Source(place, tmp_path / "cache")
    append(corpus)
    with pytest.raises(CorpusError, match="has changed while it was looked at"):
        _ = again.documents


def test_ids_are_hashed_once_and_again_when_touched(corpus: Path, tmp_path: Path) -> None:
    path, cache = tmp_path / "x.ids", tmp_path / "cache"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert known.has_digest(path, digest, cache)
    assert len(list((cache / "verified").iterdir())) == 1
    assert known.has_digest(path, digest, cache)
    path.write_bytes(b"abd")
    assert not known.has_digest(path, digest, cache)
