"""Knobs, tables, documents and the corpus of the generated language."""

import numpy as np
import pytest

from scaling.batches import validation_windows, windows
from scaling.corpora import CorpusError, read_documents
from scaling.grammar.inference import log_prob
from scaling.grammar.rules import GrammarError, GrammarKnobs, make_grammar
from scaling.grammar.sampling import TRAIN, VALIDATION, draw_documents, to_text
from scaling.text import TokenStream
from scaling.tokenizer import CLS_ID, SEP_ID

SMALL = GrammarKnobs(depth=2, symbols=6, rules=3, sentences=3, topics=2)


def test_no_two_rules_of_a_level_write_the_same() -> None:
    for children in make_grammar(SMALL).children:
        assert len({tuple(row) for row in children.reshape(-1, SMALL.branching)}) == 6 * 3


def test_rules_follow_zipfs_law() -> None:
    probs = make_grammar(GrammarKnobs(zipf=2.0, rules=3)).rule_probs[0]
    np.testing.assert_allclose(probs / probs[0], [1, 1 / 4, 1 / 9])


def test_the_first_root_is_stationary_so_every_sentence_is_alike() -> None:
    grammar = make_grammar(SMALL)
    after = np.einsum("zs,zst->zt", grammar.first_root, grammar.next_root)
    np.testing.assert_allclose(after, grammar.first_root, atol=1e-12)


def test_documents_have_the_frequencies_of_the_grammar() -> None:
    """The most likely texts come up as often as they should (chi-square on 20 of them)."""
    grammar = make_grammar(GrammarKnobs(depth=1, symbols=3, rules=2, sentences=2, topics=2, seed=4))
    drawn = draw_documents(grammar, 40_000, stream=TRAIN)
    texts, counts = np.unique(drawn, axis=0, return_counts=True)
    expected = np.exp(log_prob(grammar, texts)) * len(drawn)
    common = expected > 50
    assert common.sum() >= 10
    deviations = (counts[common] - expected[common]) / np.sqrt(expected[common])
    # The sum of squares of n standard normals lies within 5 of its standard deviations of n.
    n = int(common.sum())
    assert abs((deviations**2).sum() - n) < 5 * np.sqrt(2 * n)


def test_splits_are_drawn_apart_and_again_the_same() -> None:
    grammar = make_grammar(SMALL)
    train = draw_documents(grammar, 100, stream=TRAIN)
    assert (draw_documents(grammar, 100, stream=TRAIN) == train).all()
    assert (draw_documents(grammar, 100, stream=VALIDATION) != train).any()


def test_the_corpus_holds_the_documents_of_the_grammar() -> None:
    corpus = read_documents(
        "grammar:depth=2,symbols=6,rules=3,sentences=3,topics=2,documents=50,validation_documents=7"
    )
    drawn = draw_documents(make_grammar(SMALL), 50, stream=TRAIN)
    # A prefix of the draws: the tables do not depend on how many documents are wanted.
    assert list(corpus.train) == to_text(drawn)
    assert len(corpus.validation) == 7
    assert corpus.split == "drawn"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("depht=3", "knob 'depht' is unknown; did you mean 'depth'"),
        ("depth=two", "depth='two' is not a whole number"),
        ("depth=3,depth=4", "'depth' is given twice"),
        ("symbols=200", r"symbols=200 is not in 2\.\.94"),
        ("symbols=4,rules=5", "at most rules=4"),
        ("depth=13", "sentences of 8192 tokens; at most 4096"),
        ("zipf=-1", "zipf=-1.0 is not 0 or more"),
        ("chain_concentration=0", "chain_concentration=0.0 is not positive"),
    ],
)
def test_knobs_that_make_no_grammar_say_why(place: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_documents(f"grammar:{place}")


def test_one_child_per_rule_is_no_tree() -> None:
    with pytest.raises(GrammarError, match="branching=1 makes no tree"):
        GrammarKnobs(branching=1)


def test_windows_are_cut_at_documents_that_fill_them() -> None:
    """Otherwise a window would hold the end of one document and the start of another."""
    documents = np.arange(4, 4 + 60, dtype=np.uint16).reshape(10, 6)
    ids = np.concatenate([[*row, SEP_ID] for row in documents]).astype(np.uint16)
    stream = TokenStream(ids=ids, document_starts=np.arange(11, dtype=np.int64) * 7)
    read = windows(stream, seq_len=8, seed=0, first_sequence=0, n_sequences=20)
    assert (read[:, 0] == CLS_ID).all()
    assert (read[:, -1] == SEP_ID).all()
    for one_pass in (read[:10], read[10:]):
        assert sorted(one_pass[:, 1]) == list(documents[:, 0])
    held_out = validation_windows(stream, seq_len=8, n_sequences=4)
    assert (held_out[:, -1] == SEP_ID).all()
    assert len(set(held_out[:, 1])) == 4
