"""What is trained to be timed: the suite's own run of a shape, on text of random tokens.

Speed does not depend on what the tokens say, so nothing is read or downloaded.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from scaling.bench.shape import Shape
from scaling.spec import Precision, RunSpec
from scaling.text import Text, TokenStream
from scaling.tokenizer import BYTES_VOCAB_SIZE, FIRST_TEXT_ID, SEP_ID, Tokenizer, byte_tokenizer

_DOCUMENT_TOKENS = 2048
_DOCUMENTS = 400
# Further than anybody waits.
_STEPS = 1_000_000

# `encoder` and `decoder` are the suite's matched pair.
ARCHITECTURES = {"gpt": ("decoder", "clm"), "bert": ("encoder", "mlm")}


def spec_of(shape: Shape, *, precision: Precision, arch: str | None = None) -> RunSpec:
    """A run of that shape without end, and with as little evaluation as there can be.

    Args:
        arch: instead of the family's half of the matched pair.
    """
    usual_arch, objective = ARCHITECTURES[shape.family]
    tokenizer = random_tokenizer(shape.vocab_size)
    return RunSpec(
        arch=arch or usual_arch,
        objective=objective,
        corpus="random",
        corpus_fingerprint="random",
        tokenizer=tokenizer.name,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocab_size=shape.vocab_size,
        n_layer=shape.n_layer,
        d_model=shape.d_model,
        n_head=shape.n_head,
        d_ff=shape.d_ff,
        seq_len=shape.seq_len,
        batch_tokens=shape.batch_tokens,
        train_tokens=_STEPS * shape.batch_tokens,
        warmup_tokens=100 * shape.batch_tokens,
        cooldown_tokens=0,
        # So low that noise cannot make it diverge.
        peak_lr=1e-4,
        precision=precision,
        eval_tokens=shape.seq_len,
    )


def random_text(vocab_size: int) -> Text:
    """Documents of random tokens, the same in every process."""
    tokenizer = random_tokenizer(vocab_size)
    streams = []
    for seed, documents in ((0, _DOCUMENTS), (1, 4)):
        n = documents * _DOCUMENT_TOKENS
        rng = np.random.default_rng(seed)
        ids = rng.integers(FIRST_TEXT_ID, vocab_size, n).astype(np.uint16)
        starts = np.arange(documents + 1, dtype=np.int64) * _DOCUMENT_TOKENS
        ids[starts[1:] - 1] = SEP_ID
        streams.append(TokenStream(ids=ids, document_starts=starts, name="random tokens"))
    return Text(
        corpus="random",
        corpus_fingerprint="random",
        tokenizer=tokenizer,
        train=streams[0],
        validation=streams[1],
        unigram_nats=np.full(vocab_size, np.log(vocab_size)),
    )


@cache
def random_tokenizer(vocab_size: int) -> Tokenizer:
    """A vocabulary of that size: the bytes, and pairs of bytes beyond them.

    Raises:
        ValueError: it is smaller than that of bytes, or larger than pairs make.
    """
    known = byte_tokenizer()
    n_pairs = vocab_size - BYTES_VOCAB_SIZE
    if not 0 <= n_pairs <= 256**2:
        raise ValueError(
            f"vocab_size={vocab_size} is not between {BYTES_VOCAB_SIZE} and "
            f"{BYTES_VOCAB_SIZE + 256**2}; take 4096"
        )
    if not n_pairs:
        return known
    merges = tuple((FIRST_TEXT_ID + i // 256, FIRST_TEXT_ID + i % 256) for i in range(n_pairs))
    pieces = known.pieces + tuple(known.pieces[a] + known.pieces[b] for a, b in merges)
    return Tokenizer(name="bpe", pieces=pieces, merges=merges)
