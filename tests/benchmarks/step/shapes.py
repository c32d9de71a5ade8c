"""The shapes of the comparison: widths of the size ladder, batches of a small study."""

from __future__ import annotations

from scaling.bench.shape import Family, Shape
from scaling.tokenizer import BYTES_VOCAB_SIZE

# d_model -> layers, heads, tokens a step
LAYOUTS = {
    32: (3, 2, 4096),
    64: (3, 4, 4096),
    128: (4, 4, 4096),
    256: (4, 4, 2048),
    512: (6, 8, 2048),
}
SEQ_LEN = 256
LARGE_VOCABULARY = 4096


def shape(family: Family, vocab_size: int, d_model: int) -> Shape:
    n_layer, n_head, batch_tokens = LAYOUTS[d_model]
    return Shape(
        family=family,
        vocab_size=vocab_size,
        d_model=d_model,
        n_layer=n_layer,
        n_head=n_head,
        seq_len=SEQ_LEN,
        batch_tokens=batch_tokens,
    )


ALL: tuple[Shape, ...] = (
    *(shape("gpt", BYTES_VOCAB_SIZE, d) for d in LAYOUTS),
    *(shape("gpt", LARGE_VOCABULARY, d) for d in (32, 64, 128)),
    *(shape("bert", LARGE_VOCABULARY, d) for d in (32, 64, 128)),
    shape("bert", BYTES_VOCAB_SIZE, 64),
)
QUICK: tuple[Shape, ...] = (
    shape("gpt", BYTES_VOCAB_SIZE, 64),
    shape("bert", LARGE_VOCABULARY, 32),
)
