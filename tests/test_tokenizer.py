"""Tokenizers: no loss, no special tokens from text, the same result on every machine."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling import tokenizer as module
from scaling.corpora import read_documents
from scaling.tokenizer import (
    CLS_ID,
    FIRST_TEXT_ID,
    MASK_ID,
    PAD_ID,
    SEP_ID,
    SPECIAL_TOKENS,
    Tokenizer,
    TokenizerError,
    byte_tokenizer,
    train_bpe,
)

SEEDED = settings(deadline=None, derandomize=True)
TEXTS = [
    "It was the best of times, it was the worst of times.\n\nIt was the age of wisdom.",
    "[MASK] [MASK] [PAD] [CLS] [SEP][SEP] " * 20,
    "class X:\n\n    y = 1\n\n\n    z = 2\n" * 5,
    "def naïve(café):\n    return '日本語' * 3  # Ελληνικά, emoji 🙂🙂\n" * 5,
]
BPE = train_bpe(TEXTS, vocab_size=330)
BOTH = [byte_tokenizer(), BPE]
# Texts whose words, blanks and line breaks meet the merges more often than arbitrary ones do.
LIKELY_TEXT = st.lists(
    st.sampled_from(
        ["the", " ", "    ", "\n", "\n\n", "\t", "times", "[MASK]", ".", "é", "\x1c", "\x85", " 日"]
    )
).map("".join)


def test_special_ids_and_bytes_stand_first() -> None:
    assert (PAD_ID, CLS_ID, SEP_ID, MASK_ID) == (0, 1, 2, 3)
    assert byte_tokenizer().encode("Aé").tolist() == [4 + 0x41, 4 + 0xC3, 4 + 0xA9]
    assert byte_tokenizer().vocab_size == 260
    assert BPE.vocab_size == 330
    assert BPE.pieces[:260] == byte_tokenizer().pieces


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
@SEEDED
@given(text=st.text() | LIKELY_TEXT)
def test_encoding_loses_nothing(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.bytes_per_id[ids].sum() == len(text.encode())
    assert (ids >= FIRST_TEXT_ID).all()
    assert (ids < tokenizer.vocab_size).all()


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
def test_names_of_special_tokens_are_text(tokenizer: Tokenizer) -> None:
    text = "".join(SPECIAL_TOKENS)
    assert tokenizer.encode(text).min() >= FIRST_TEXT_ID
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode([CLS_ID, *tokenizer.encode("a b"), SEP_ID, PAD_ID]) == "a b"


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
def test_bytes_per_id(tokenizer: Tokenizer) -> None:
    assert tokenizer.bytes_per_id.tolist() == [len(piece) for piece in tokenizer.pieces]
    assert tokenizer.bytes_per_id[:FIRST_TEXT_ID].sum() == 0
    assert tokenizer.bytes_per_id.dtype == np.int64


def test_decoding_what_is_no_text_does_not_fail() -> None:
    assert byte_tokenizer().decode([4 + 0xFF, 4 + 0x41]) == "\ufffdA"


def joined_by_hand(text: str) -> list[int]:
    """BPE as first written down: join the pair that was learned first, until none is left."""
    rank = {pair: index for index, pair in enumerate(BPE.merges)}
    ids = {piece: index for index, piece in enumerate(BPE.pieces) if piece}
    result = []
    for word, _ in BPE._backend.pre_tokenizer.pre_tokenize_str(text):
        symbols = [ids[bytes([byte])] for byte in module.bytes_of(word)]
        while pairs := [pair for pair in pairwise(symbols) if pair in rank]:
            best = min(pairs, key=rank.__getitem__)
            position = list(pairwise(symbols)).index(best)
            joined = BPE.pieces[best[0]] + BPE.pieces[best[1]]
            symbols[position : position + 2] = [ids[joined]]
        result += symbols
    return result


@SEEDED
@given(LIKELY_TEXT)
def test_ids_are_those_of_the_plain_algorithm(text: str) -> None:
    assert BPE.encode(text).tolist() == joined_by_hand(text)


def test_first_merge_is_the_most_frequent_pair() -> None:
    tokenizer = train_bpe(["xyxyxyxy ab xy xy ab"], vocab_size=261)
    assert tokenizer.pieces[260] == b"xy"


@SEEDED
@given(st.lists(st.text() | LIKELY_TEXT, max_size=6))
def test_cutting_long_texts_moves_no_token(texts: list[str]) -> None:
    whole = [BPE.encode(text).tolist() for text in texts]
    assert encoded_by_portions(texts, portion_characters=3) == whole


def encoded_by_portions(texts: Sequence[str], *, portion_characters: int) -> list[list[int]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PORTION_CHARACTERS", portion_characters)
        return [ids.tolist() for ids in BPE.encode_all(texts)]


def test_long_texts_are_cut() -> None:
    text = "the times\nof\n\nwisdom\n" * 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PORTION_CHARACTERS", 20)
        portions = list(module._portions([text, "x"]))
    pieces = [piece for portion in portions for piece, _ in portion]
    assert max(map(len, pieces)) < 60
    assert "".join(pieces) == text + "x"
    assert sum(ends for portion in portions for _, ends in portion) == 2


def test_training_depends_on_the_texts_alone() -> None:
    assert train_bpe(TEXTS[::-1], vocab_size=330).fingerprint == BPE.fingerprint
    assert train_bpe(TEXTS[:2], vocab_size=280).fingerprint != BPE.fingerprint


def test_fingerprint_of_bytes_is_pinned() -> None:
    """It stands in the run id of every run on bytes."""
    assert byte_tokenizer().fingerprint == "79201485f0a220b7"


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
def test_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "new")
    loaded = Tokenizer.load(tmp_path / "new")
    assert (loaded.name, loaded.pieces, loaded.merges, loaded.fingerprint) == (
        tokenizer.name, tokenizer.pieces, tokenizer.merges, tokenizer.fingerprint,
    )  # fmt: skip


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
def test_saved_tokenizer_serves_the_library(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode(TEXTS[-1]).ids == tokenizer.encode(TEXTS[-1]).tolist()
    assert [library.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert library.decode(library.encode(TEXTS[-1]).ids) == TEXTS[-1]


@pytest.mark.parametrize("damage", ["torn", "changed", "missing"])
def test_damaged_file_is_noticed(damage: str, tmp_path: Path) -> None:
    BPE.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = path.read_text(encoding="utf-8")
    if damage == "missing":
        path.unlink()
    else:
        damaged = content[:-100] if damage == "torn" else content.replace('"A": 69', '"A": 999')
        assert damaged != content
        path.write_text(damaged, encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is no tokenizer .* trained again"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("vocab_size", "message"),
    [
        (260, "vocab_size=260 leaves no merge: bpe needs more than 260; give 512"),
        (-1, "vocab_size=-1 leaves no merge"),
        (50_000, "vocab_size=50000 is more than this text supports.*largest that works: "),
    ],
)
def test_vocabulary_that_cannot_be(vocab_size: int, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        train_bpe(TEXTS, vocab_size=vocab_size)


def test_merges_occur_twice() -> None:
    assert train_bpe(["abab cd"], vocab_size=261).pieces[260] == b"ab"
    with pytest.raises(TokenizerError, match="the largest that works: 261"):
        train_bpe(["abab cd"], vocab_size=262)


def test_largest_vocabulary_of_the_message_works() -> None:
    with pytest.raises(TokenizerError) as caught:
        train_bpe(TEXTS, vocab_size=50_000)
    largest = int(str(caught.value).split()[-1])
    assert train_bpe(TEXTS, vocab_size=largest).vocab_size == largest


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda tokenizer: tokenizer.name)
def test_half_of_a_surrogate_pair_is_no_text(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"character 2 of a text is '\\ud800'"):
        tokenizer.encode("ab\ud800")


@pytest.mark.slow
def test_published_compression_of_the_textbooks(shared_data: Path) -> None:
    """Bytes per token of 4,096-entry byte-level BPE; the table counts blank lines between
    documents as bytes, and its entries may or may not include special tokens."""
    corpus = read_documents(f"files:{shared_data / 'textbooks'}")
    tokenizer = train_bpe(corpus.train, vocab_size=4096)
    for documents, published in ((corpus.train, 3.817), (corpus.validation, 3.852)):
        n_bytes = len("\n\n".join(documents).encode())
        n_tokens = sum(map(len, tokenizer.encode_all(documents)))
        assert n_bytes / n_tokens == pytest.approx(published, abs=0.005)
