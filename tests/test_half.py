"""Halves of a corpus share no document, and together are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.corpora import CorpusError, read_documents, sources
from tests.factories import write_documents


@pytest.fixture
def whole(tmp_path: Path) -> str:
    return f"files:{write_documents(tmp_path / 'text.jsonl', n_documents=200, words=5)}"


def test_the_halves_part_the_train_documents(whole: str) -> None:
    corpus = read_documents(whole)
    first, second = (read_documents(f"half:{which}:{whole}") for which in ("first", "second"))
    assert set(first.train) | set(second.train) == set(corpus.train)
    assert not set(first.train) & set(second.train)
    assert first.validation == second.validation == corpus.validation
    assert 60 < len(first.train) < 130
    assert len({corpus.fingerprint, first.fingerprint, second.fingerprint}) == 3
    assert first.name == f"half:first:{whole}"


def test_its_files_are_those_of_the_whole(whole: str, tmp_path: Path) -> None:
    assert sources(f"half:first:{whole}", cache=tmp_path) == sources(whole, cache=tmp_path)
    assert sources("half:first:grammar:depth=2", cache=tmp_path) is None


@pytest.mark.parametrize("place", ["", "third:files:x", "first", "first:", "first:half:second:x"])
def test_what_is_no_half_is_refused(place: str) -> None:
    with pytest.raises(CorpusError, match=r"names no half of a corpus|is a half of a half"):
        read_documents(f"half:{place}")


def test_an_empty_half_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one document")
    (tmp_path / "validation.txt").write_text("another document")
    found = []
    for which in ("first", "second"):
        try:
            found.append(read_documents(f"half:{which}:files:{tmp_path}").train)
        except CorpusError as error:
            assert "none of 1 train documents falls into" in str(error)  # noqa: PT017
    assert found == [("one document",)]
