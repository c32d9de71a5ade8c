"""What the suite's step is meant to reach, against what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling.tokenizer import BYTES_VOCAB_SIZE
from tests.benchmarks.ratios import Ratio, speed_ratio

OURS = ("scaling", "scaling-bf16", "scaling-compiled", "scaling-bf16-compiled")
# Seconds per token by program and round.
Times = Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """At least so many times as fast as a peer, by width."""

    peer: str
    family: str
    vocab_size: int
    at_least: Mapping[int, float]


TARGETS = (
    Target(
        peer="transformers-trainer",
        family="gpt",
        vocab_size=BYTES_VOCAB_SIZE,
        at_least={32: 1.6, 64: 2.7, 128: 2.7, 256: 2.7, 512: 2.7},
    ),
    Target(
        peer="nanogpt-bf16",
        family="gpt",
        vocab_size=BYTES_VOCAB_SIZE,
        at_least={64: 1.2, 128: 1.2, 256: 1.2, 512: 1.2},
    ),
    Target(
        peer="transformers-trainer",
        family="gpt",
        vocab_size=4096,
        at_least={32: 3.5, 64: 3.5, 128: 3.5},
    ),
    Target(
        peer="transformers-trainer",
        family="bert",
        vocab_size=4096,
        at_least={32: 7.0, 64: 5.5, 128: 4.0},
    ),
)


def best_of_ours(times: Times, peer: str) -> tuple[str, Ratio]:
    """Our faster precision, and how many times as fast as the peer it is."""
    ratios = {name: speed_ratio(times[name], times[peer]) for name in OURS if name in times}
    best = max(ratios, key=lambda name: ratios[name].median)
    return best, ratios[best]
