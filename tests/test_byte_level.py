"""The spelling of bytes and the behaviour after a fork."""

import os
import subprocess
import sys

import pytest
from tokenizers import pre_tokenizers

from scaling.byte_level import bytes_of, spelled

EVERY_BYTE = bytes(range(256))


def test_bytes_have_the_spelling_of_the_library() -> None:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert {spelled(bytes([byte])) for byte in EVERY_BYTE} == set(level.alphabet())
    # All bytes that occur in UTF-8 text; 0xC0, 0xC1 and 0xF5..0xFF never do.
    text = "".join(
        map(chr, [*range(0x800), *range(0x800, 0xD800, 61), *range(0xE000, 0x10FFFF, 61)])
    )
    occurring = set(text.encode())
    assert len(occurring) == 256 - 13
    assert level.pre_tokenize_str(text)[0][0] == spelled(text.encode())


def test_spelling_can_be_undone() -> None:
    assert bytes_of(spelled(EVERY_BYTE)) == EVERY_BYTE
    with pytest.raises(KeyError):
        bytes_of("\u4e00")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_encodes_without_warning_or_hang() -> None:
    program = """
import os
from scaling.tokenizer import train_bpe
texts = ["the cat sat on the mat " * 50] * 64
tokenizer = train_bpe(texts, vocab_size=270)
expected = [ids.tolist() for ids in tokenizer.encode_all(texts)]
child = os.fork()
if child == 0:
    same = [ids.tolist() for ids in tokenizer.encode_all(texts)] == expected
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert "TOKENIZERS_PARALLELISM" not in os.environ
"""
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env=environment, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
