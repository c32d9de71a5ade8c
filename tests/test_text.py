"""Text: ids on disk are the documents, whoever writes them and whatever befalls them."""

import collections
import json
import logging
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling import text as module
from scaling.corpora import CorpusError, known, read_documents, source
from scaling.text import Text, TextError, TokenStream, count_text_tokens, load_text
from scaling.tokenizer import SEP_ID, Tokenizer, TokenizerError, byte_tokenizer

DOCUMENTS = [f"The {n}th document, naïve, " + "has words and words. " * (n % 7) for n in range(150)]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS)
    (tmp_path / "text.jsonl").write_text(rows, encoding="utf-8")
    return f"files:{tmp_path / 'text.jsonl'}"


def load(corpus: str, cache: Path, tokenizer: str = "bpe") -> Text:
    vocab_size = 300 if tokenizer == "bpe" else None
    return load_text(corpus=corpus, tokenizer=tokenizer, vocab_size=vocab_size, cache=cache)


def assert_holds_the_documents(text: Text, corpus: str) -> None:
    read = read_documents(corpus)
    for stream, documents in ((text.train, read.train), (text.validation, read.validation)):
        assert stream.n_documents == len(documents)
        assert stream.document_starts[-1] == len(stream.ids)
        for index, document in enumerate(documents):
            start, end = stream.document_starts[index : index + 2]
            assert text.tokenizer.decode(stream.ids[start : end - 1]) == document
            assert stream.ids[end - 1] == SEP_ID
        assert np.count_nonzero(stream.ids < 4) == len(documents)


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_ids_are_the_documents(tokenizer: str, corpus: str, tmp_path: Path) -> None:
    text = load(corpus, tmp_path / "cache", tokenizer)
    assert_holds_the_documents(text, corpus)
    assert text.tokenizer.name == tokenizer
    assert text.corpus_fingerprint == read_documents(corpus).fingerprint
    assert text.train.ids.dtype == np.uint16
    assert not text.train.ids.flags.writeable
    n_bytes = sum(len(document.encode()) for document in DOCUMENTS)
    assert text.facts["train_bytes"] + text.facts["validation_bytes"] == n_bytes


def test_what_takes_long_is_said_before_it_is_done_once(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    cache = tmp_path / "cache"

    def say(line: str) -> None:
        told.append(line)
        assert not list(cache.glob("texts/*/header.json"))

    def load_and_say() -> None:
        load_text(corpus=corpus, tokenizer="bpe", vocab_size=300, cache=cache, say=say)

    path = Path(corpus.removeprefix("files:"))
    monkeypatch.setattr(known, "_SETTLED_SECONDS", -1.0)  # the file was written just now
    monkeypatch.setattr(source, "LONG_BYTES", path.stat().st_size)
    load_and_say()
    load_and_say()
    assert [line.split(" ")[0] for line in told] == ["reading", "training", "encoding"]
    assert told[0] == f"reading the corpus {corpus}"
    told.clear()
    monkeypatch.setattr(source, "LONG_BYTES", path.stat().st_size + 1)
    cache = tmp_path / "another"
    load_and_say()
    assert told == []


def test_large_vocabulary_takes_32_bits(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All pairs of bytes: 260 + 65,536 entries.
    base = byte_tokenizer().pieces
    pairs = [(a, b) for b in range(4, 260) for a in range(4, 260)]
    large = Tokenizer(
        name="bpe", pieces=base + tuple(base[a] + base[b] for a, b in pairs), merges=tuple(pairs)
    )
    monkeypatch.setitem(module.TOKENIZERS, "bpe", lambda *_: large)
    text = load(corpus, tmp_path / "cache")
    assert text.train.ids.dtype == np.uint32
    assert_holds_the_documents(text, corpus)


def test_tokenizer_sees_the_train_split_only(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    train_bpe = module.train_bpe

    def spy(documents: Any, **options: Any) -> Tokenizer:
        seen.append(tuple(documents))
        return train_bpe(documents, **options)

    monkeypatch.setattr(module, "train_bpe", spy)
    first = load(corpus, tmp_path / "cache")
    assert seen == [read_documents(corpus).train]
    # The second time it comes from the cache.
    second = load(corpus, tmp_path / "cache")
    assert len(seen) == 1
    assert second.tokenizer.fingerprint == first.tokenizer.fingerprint


def test_second_time_nothing_is_encoded(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(corpus, tmp_path / "cache")
    monkeypatch.setattr(module, "_build", None)
    second = load(corpus, tmp_path / "cache")
    assert np.array_equal(first.train.ids, second.train.ids)
    assert np.array_equal(first.unigram_nats, second.unigram_nats)


def test_place_of_the_corpus_plays_no_part(corpus: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_bytes(Path(corpus.removeprefix("files:")).read_bytes())
    load(corpus, tmp_path / "cache")
    load(f"files:{elsewhere}", tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "texts").iterdir())) == 1
    assert len(list((tmp_path / "cache" / "tokenizers").iterdir())) == 1


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[:-16])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["truncated", "flipped", "missing"])
@pytest.mark.parametrize("name", [*module._FILES, "header.json", "tokenizer.json"])
def test_damaged_cache_is_built_again(
    name: str, kind: str, corpus: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load(corpus, tmp_path / "cache")
    expected = np.array(first.validation.ids), first.unigram_nats
    [path] = (tmp_path / "cache").rglob(name)
    damage(path, kind)
    with caplog.at_level(logging.WARNING):
        again = load(corpus, tmp_path / "cache")
    assert np.array_equal(again.validation.ids, expected[0])
    assert np.array_equal(again.unigram_nats, expected[1])
    assert_holds_the_documents(again, corpus)
    # A file that was never written is no damage, but a seal without its tokenizer is.
    assert ("again" in caplog.text) == (kind != "missing" or name == "tokenizer.json")


def test_header_of_another_kind_of_array(corpus: str, tmp_path: Path) -> None:
    load(corpus, tmp_path / "cache")
    [path] = (tmp_path / "cache").rglob("header.json")
    path.write_text(path.read_text().replace("<u2", "|O"))
    assert_holds_the_documents(load(corpus, tmp_path / "cache"), corpus)


def test_several_at_once_get_the_same(corpus: str, tmp_path: Path) -> None:
    texts: list[Text] = []
    barrier = threading.Barrier(4)

    def build() -> None:
        barrier.wait()
        texts.append(load(corpus, tmp_path / "cache"))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4
    for text in texts:
        assert_holds_the_documents(text, corpus)
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_unigram_nats(corpus: str, tmp_path: Path) -> None:
    text = load(corpus, tmp_path / "cache")
    counts = collections.Counter(text.train.ids.tolist())
    n_text_ids = text.tokenizer.vocab_size - 4
    total = sum(count for index, count in counts.items() if index >= 4) + n_text_ids
    assert np.isinf(text.unigram_nats[:4]).all()
    for index in range(4, text.tokenizer.vocab_size):
        assert text.unigram_nats[index] == pytest.approx(-math.log((counts[index] + 1) / total))
    assert np.exp(-text.unigram_nats).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("tokenizer", "vocab_size", "message"),
    [
        ("bytes", 512, "vocab_size=512 is given, but the tokenizer 'bytes' has 260 entries; le"),
        ("bpe", None, "vocab_size=None, but the tokenizer 'bpe' needs one; try 4096"),
        ("bpe", 200, "vocab_size=200 leaves no merge"),
        ("bpe", 60_000, "vocab_size=60000 is more than this text supports"),
        ("words", 300, "tokenizer='words' is unknown; known: bytes, bpe"),
    ],
)
def test_tokenizer_that_cannot_be(
    tokenizer: str, vocab_size: int | None, message: str, corpus: str, tmp_path: Path
) -> None:
    with pytest.raises(TokenizerError, match=message):
        load_text(corpus=corpus, tokenizer=tokenizer, vocab_size=vocab_size, cache=tmp_path)


def test_bytes_may_be_given_their_own_size(corpus: str, tmp_path: Path) -> None:
    text = load_text(corpus=corpus, tokenizer="bytes", vocab_size=260, cache=tmp_path)
    assert text.tokenizer.vocab_size == 260


def test_errors_are_value_errors() -> None:
    assert all(issubclass(kind, ValueError) for kind in (CorpusError, TextError, TokenizerError))


def test_union_of_intervals() -> None:
    stream = TokenStream(
        ids=np.array([9, 9, 9, SEP_ID, 9, SEP_ID, 9, 9, 9, SEP_ID], np.uint16),
        document_starts=np.array([0, 4, 6, 10]),
    )
    starts, ends = np.array([6, 0, 1, 6, 8]), np.array([9, 2, 5, 7, 8])
    assert count_text_tokens(stream, starts, ends) == 7
    assert count_text_tokens(stream, np.zeros(0, np.int64), np.zeros(0, np.int64)) == 0
    assert count_text_tokens(stream, np.array([0]), np.array([10])) == 7


def test_stdlib_text_is_the_default_corpus(tmp_path: Path) -> None:
    text = load_text(corpus="stdlib_text", tokenizer="bytes", vocab_size=None, cache=tmp_path)
    assert len(text.train.ids) == text.facts["train_bytes"] + text.facts["train_documents"]
    assert 0.01 < len(text.validation.ids) / len(text.train.ids) < 0.12
