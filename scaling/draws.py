"""Random numbers that are functions of a key and a counter, with no generator state.

What a training step reads has to follow from (seed, sequence number) alone, so that a resumed,
a forked or a differently cut run reads the same. The mixing function is the finaliser of
SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"). It is
written out here because numpy's generators may change their streams between versions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def _mix(state: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = state ^ (state >> np.uint64(30))
    mixed *= _MULTIPLIER_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MULTIPLIER_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


@lru_cache(maxsize=1024)
def _key(*parts: int) -> np.ndarray:
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = _mix((key ^ np.array([int(part) % 2**64], np.uint64)) + _INCREMENT)
    return key


def random_bits(counters: np.ndarray, *key: int) -> np.ndarray:
    """64 random bits per counter.

    Args:
        counters: non-negative integers of any shape.
        key: names the stream of draws; other keys give unrelated draws.
    Returns:
        uint64 of the shape of `counters`.
    """
    return _mix(_mix(_key(*key) + counters.astype(np.uint64) * _INCREMENT))


def random_below(limits: np.ndarray | int, counters: np.ndarray, *key: int) -> np.ndarray:
    """Uniform integers in [0, limit), one per counter; limits up to 2**53, as int64."""
    unit = (random_bits(counters, *key) >> np.uint64(11)) * 2.0**-53
    # The product rounds up to the limit itself only for limits near 2**53.
    return np.minimum((unit * limits).astype(np.int64), np.asarray(limits, np.int64) - 1)


@lru_cache(maxsize=4)
def permutation(n_items: int, *key: int) -> np.ndarray:
    """A random order of 0..n_items-1, kept for the next call; 4 bytes per item.

    Each item carries its number in the low half of a random word; sorting the words shuffles
    the numbers. All words differ, so the order depends on no detail of the sort.
    """
    assert n_items < 2**32, f"{n_items} items do not fit the 32 bits that an item number has"
    numbers = np.arange(n_items, dtype=np.uint64)
    words = random_bits(numbers, *key)
    words &= np.uint64(0xFFFFFFFF00000000)
    words |= numbers
    words.sort()
    order = words.astype(np.uint32)  # keeps the low half
    order.flags.writeable = False  # the cache hands the same array to every caller
    return order
