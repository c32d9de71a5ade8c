"""What a grammar consists of: its knobs, and the tables that a seed draws from them.

Axes: S symbols of one level, R rules per symbol, J children per rule, Z topics.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from scaling.words import did_you_mean

# One printable byte per terminal: a token, a character and a byte are then the same.
ALPHABET = "".join(map(chr, range(0x21, 0x7F)))
MAX_SENTENCE_TOKENS = 4096


class GrammarError(ValueError):
    """Knobs that make no grammar; the message gives the value, the rule and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrammarKnobs:
    """The numbers that determine a grammar and the corpus drawn from it.

    Attributes:
        depth: levels of production rules between the root of a sentence and its tokens.
        branching: children per rule; a sentence has `branching ** depth` tokens.
        symbols: symbols per level, the terminals included.
        rules: rules per symbol. No two rules of a level share their children, so a sentence
            has one derivation.
        zipf: rule k of a symbol has a probability in proportion to k ** -zipf; 0 is uniform.
        topics: topics a document may have, all equally likely.
        topic_concentration: of the Dirichlet law of a topic's mean over roots; a small value
            makes topics differ, so that two sentences tell whether they share one.
        chain_concentration: of the Dirichlet law of each row of a topic's root chain around that
            mean; a small value makes a sentence tell which one comes next.
        sentences: sentences per document.
        documents: documents of the train split.
        validation_documents: documents of the validation split, drawn independently.
        seed: of tables and documents.
    """

    depth: int = 4
    branching: int = 2
    symbols: int = 16
    rules: int = 4
    zipf: float = 1.0
    topics: int = 4
    topic_concentration: float = 0.3
    chain_concentration: float = 0.1
    sentences: int = 4
    documents: int = 20_000
    validation_documents: int = 2_048
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("depth", "rules", "topics", "sentences", "documents", "validation_documents"):
            if getattr(self, name) < 1:
                raise GrammarError(f"{name}={getattr(self, name)} is not positive; give 1 or more")
        if self.branching < 2:
            raise GrammarError(f"branching={self.branching} makes no tree; give 2 or more")
        if not 2 <= self.symbols <= len(ALPHABET):
            raise GrammarError(
                f"symbols={self.symbols} is not in 2..{len(ALPHABET)}: each terminal is one "
                "printable character"
            )
        if self.rules * self.symbols > self.symbols**self.branching:
            most = self.symbols ** (self.branching - 1)
            raise GrammarError(
                f"rules={self.rules} for each of {self.symbols} symbols are more than there are "
                f"distinct children; at most rules={most}"
            )
        if self.sentence_tokens > MAX_SENTENCE_TOKENS:
            raise GrammarError(
                f"branching={self.branching} and depth={self.depth} make sentences of "
                f"{self.sentence_tokens} tokens; at most {MAX_SENTENCE_TOKENS}: lower depth"
            )
        if not (math.isfinite(self.zipf) and self.zipf >= 0):
            raise GrammarError(f"zipf={self.zipf} is not 0 or more; 1.0 is usual")
        for name in ("topic_concentration", "chain_concentration"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise GrammarError(f"{name}={value} is not positive; 0.3 is usual")
        if self.seed < 0:
            raise GrammarError(f"seed={self.seed} is negative; give 0 or more")

    @property
    def sentence_tokens(self) -> int:
        tokens: int = self.branching**self.depth
        return tokens

    @property
    def document_tokens(self) -> int:
        return self.sentences * self.sentence_tokens

    @classmethod
    def parse(cls, text: str) -> GrammarKnobs:
        """Reads `depth=3,symbols=8`; what is not named keeps its default.

        Raises:
            GrammarError: a knob is unknown, given twice, or no number.
        """
        defaults = dataclasses.asdict(cls())
        kinds = {name: type(value) for name, value in defaults.items()}
        values: dict[str, Any] = {}
        for part in filter(None, text.split(",")):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in kinds:
                raise GrammarError(f"knob {name!r} is unknown; {did_you_mean(name, kinds)}")
            if name in values:
                raise GrammarError(f"knob {name!r} is given twice; give it once")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                what = "a whole number" if kinds[name] is int else "a number"
                raise GrammarError(f"{name}={value!r} is not {what}") from None
        return cls(**(defaults | values))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grammar:
    """The tables of a grammar.

    Attributes:
        children: per level, int64 [S, R, J]: the symbols of the next level that rule R of
            symbol S writes. Level 0 expands roots, the last one writes terminals.
        rule_probs: float64 [S, R]; rows sum to 1. The same for all levels.
        first_root: float64 [Z, S]: distribution of a document's first root.
        next_root: float64 [Z, S, S]: from a root to the next one, rows sum to 1; `first_root`
            is its stationary distribution, so no sentence of a document is special.
    """

    knobs: GrammarKnobs
    children: tuple[np.ndarray, ...]
    rule_probs: np.ndarray
    first_root: np.ndarray
    next_root: np.ndarray

    def entropy_nats_per_token(self) -> float:
        """The entropy rate of whole sentences given their roots, per token: a lower bound on
        that of documents, which adds what the roots tell."""
        probs_R = self.rule_probs[0]
        inner_nodes = (self.knobs.sentence_tokens - 1) / (self.knobs.branching - 1)
        return float(-(probs_R @ np.log(probs_R)) * inner_nodes / self.knobs.sentence_tokens)


@lru_cache(maxsize=8)
def make_grammar(knobs: GrammarKnobs) -> Grammar:
    """Draws the tables of a grammar; a function of the knobs that shape it and the seed alone."""
    rng = np.random.default_rng((knobs.seed, 0))
    S, R, J = knobs.symbols, knobs.rules, knobs.branching
    children = []
    for _ in range(knobs.depth):
        chosen = rng.choice(S**J, size=S * R, replace=False)
        digits = np.stack(np.unravel_index(chosen, (S,) * J), axis=-1)
        children.append(digits.reshape(S, R, J).astype(np.int64))
    weights_R = np.arange(1, R + 1, dtype=np.float64) ** -knobs.zipf
    mean_ZS = rng.dirichlet(np.full(S, knobs.topic_concentration), size=knobs.topics)
    # A little of everything keeps each chain free of traps, so that it has one stationary law.
    mean_ZS = 0.95 * mean_ZS + 0.05 / S
    rows = [rng.dirichlet(knobs.chain_concentration * S * mean_S, size=S) for mean_S in mean_ZS]
    next_root = 0.98 * np.stack(rows) + 0.02 * mean_ZS[:, None]
    return Grammar(
        knobs=knobs,
        children=tuple(children),
        rule_probs=np.tile(weights_R / weights_R.sum(), (S, 1)),
        first_root=np.stack([_stationary(matrix) for matrix in next_root]),
        next_root=next_root,
    )


def _stationary(matrix_SS: np.ndarray) -> np.ndarray:
    """The distribution that a chain leaves unchanged."""
    S = len(matrix_SS)
    equations = np.vstack([matrix_SS.T - np.eye(S), np.ones(S)])
    solution: np.ndarray = np.linalg.lstsq(equations, np.append(np.zeros(S), 1.0), rcond=None)[0]
    law: np.ndarray = np.clip(solution, 0.0, None) / np.clip(solution, 0.0, None).sum()
    return law
