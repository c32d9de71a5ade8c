"""How vectors lie in their space: cosines of pairs, what makes them high, and what cures them.

Functions of an array of vectors alone, in float64; `scaling.evaluate.cls_geometry` applies them.
"""

# Array axes: N vectors, E width, P pairs.

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Below this share of the mean square, a spread is rounding and not a difference.
_ROUNDING = 1e-12


class NoSpreadError(ValueError):
    """All vectors are equal, so that nothing can be said of their differences."""


def unit(x_NE: np.ndarray) -> np.ndarray:
    """Each vector over its length; a vector of length 0 stays so."""
    length_N1 = np.linalg.norm(x_NE, axis=1, keepdims=True)
    unit_NE: np.ndarray = np.divide(x_NE, length_N1, out=np.zeros_like(x_NE), where=length_N1 > 0)
    return unit_NE


def pair_cosines(x_NE: np.ndarray, one_P: np.ndarray, other_P: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows, [P]."""
    unit_NE = unit(x_NE)
    # All of them at once: many pairs share a row.
    cosine_P: np.ndarray = (unit_NE @ unit_NE.T)[one_P, other_P]
    return cosine_P


def row_cosines(x_NE: np.ndarray, y_NE: np.ndarray) -> np.ndarray:
    """Cosine of each row of one array with the same row of the other, [N]."""
    cosine_N: np.ndarray = np.einsum("ne,ne->n", unit(x_NE), unit(y_NE))
    return cosine_N


def pairs_apart(group_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of vectors of different groups, such as passages of different documents."""
    one_P, other_P = np.triu_indices(len(group_N), 1)
    apart_P = group_N[one_P] != group_N[other_P]
    return one_P[apart_P], other_P[apart_P]


def mean_share(x_NE: np.ndarray) -> float:
    """|mean|^2 / mean |x|^2: 1 where all vectors are one, near 0 where they cancel out.

    The mean cosine of vectors of equal length is this share, but for the pairs of a vector with
    itself.
    """
    return float(np.square(x_NE.mean(axis=0)).sum() / np.square(x_NE).sum(axis=1).mean())


def centred(x_NE: np.ndarray) -> np.ndarray:
    """Without the mean vector.

    Raises:
        NoSpreadError: nothing is left.
    """
    centred_NE: np.ndarray = x_NE - x_NE.mean(axis=0)
    if np.square(centred_NE).mean() <= _ROUNDING * np.square(x_NE).mean():
        raise NoSpreadError("all vectors are equal: without their mean nothing is left")
    return centred_NE


def standardised(x_NE: np.ndarray) -> np.ndarray:
    """Each dimension without its mean and over its standard deviation.

    Source: Timkey & van Schijndel 2021, arXiv:2109.04404, section 4.
    """
    centred_NE = centred(x_NE)
    std_E = centred_NE.std(axis=0)
    scaled_NE: np.ndarray = np.divide(
        centred_NE, std_E, out=np.zeros_like(centred_NE), where=std_E > 0
    )
    return scaled_NE


def whitened(x_NE: np.ndarray) -> np.ndarray:
    """In the principal axes, each of variance 1; axes without variance are left out.

    Source: Su et al. 2021, arXiv:2103.15316, section 3.
    """
    centred_NE = centred(x_NE)
    _, singular_K, axes_KE = np.linalg.svd(centred_NE, full_matrices=False)
    kept = singular_K**2 > _ROUNDING * (singular_K**2).sum()
    scale_K = singular_K[kept] / len(x_NE) ** 0.5
    white_NK: np.ndarray = centred_NE @ axes_KE[kept].T / scale_K
    return white_NK


def without_directions(x_NE: np.ndarray, count: int) -> np.ndarray:
    """Centred, and without the `count` principal directions of largest variance.

    Source: Mu & Viswanath 2018, arXiv:1702.01417, section 2.
    """
    centred_NE = centred(x_NE)
    _, _, axes_KE = np.linalg.svd(centred_NE, full_matrices=False)
    top_KE = axes_KE[:count]
    left_NE: np.ndarray = centred_NE - centred_NE @ top_KE.T @ top_KE
    if np.square(left_NE).mean() <= _ROUNDING * np.square(centred_NE).mean():
        raise NoSpreadError(f"without {count} directions nothing is left")
    return left_NE


def contributions(x_NE: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """What each dimension adds to the mean cosine of `pairs_apart`, [E]; they sum to it.

    Source: Timkey & van Schijndel 2021, arXiv:2109.04404, section 3.1.
    """
    unit_NE = unit(x_NE)
    groups, index_N = np.unique(group_N, return_inverse=True)
    sums_GE = np.zeros((len(groups), x_NE.shape[1]))
    np.add.at(sums_GE, index_N, unit_NE)
    sizes_G = np.bincount(index_N)
    # The square of a sum holds each pair twice; what stays within a group goes out.
    twice_pairs = len(x_NE) ** 2 - np.square(sizes_G).sum()
    parts_E: np.ndarray = (
        np.square(unit_NE.sum(axis=0)) - np.square(sums_GE).sum(axis=0)
    ) / twice_pairs
    return parts_E


def without_dimensions(x_NE: np.ndarray, contributions_E: np.ndarray, count: int) -> np.ndarray:
    """Without the `count` dimensions that add most to the mean cosine."""
    return np.delete(x_NE, np.argsort(-contributions_E, kind="stable")[:count], axis=1)


def r_squared(one_P: np.ndarray, other_P: np.ndarray) -> float:
    """Squared Pearson correlation.

    Raises:
        NoSpreadError: one of them does not vary.
    """
    one_P, other_P = one_P - one_P.mean(), other_P - other_P.mean()
    product = float(one_P @ one_P) * float(other_P @ other_P)
    # Cosines lie within 1: what varies less than that in float64 is rounding.
    if product <= (len(one_P) * 1e-28) ** 2:
        raise NoSpreadError("all cosines are equal, and so correlate with nothing")
    return float(one_P @ other_P) ** 2 / product


def iso_score(x_NE: np.ndarray) -> float:
    """How evenly the variance fills the space: 1 for all dimensions alike, 0 for a line.

    Variance over k of n dimensions alike gives (k - 1) / (n - 1). Blind to the mean.

    Source: Rudman et al. 2022, arXiv:2108.07344, algorithm 1.
    """
    centred_NE = centred(x_NE)
    n = x_NE.shape[1]
    if n < 2:
        raise ValueError("a space of one dimension has no directions to compare")
    covariance_EE = centred_NE.T @ centred_NE / (len(x_NE) - 1)
    variance_E = np.linalg.eigvalsh(covariance_EE)
    normed_E = n**0.5 * variance_E / np.linalg.norm(variance_E)
    defect = np.linalg.norm(normed_E - 1) / (2 * (n - n**0.5)) ** 0.5
    share = (n - defect**2 * (n - n**0.5)) ** 2 / n**2
    return float((n * share - 1) / (n - 1))


def same_group_neighbours(x_NE: np.ndarray, group_N: np.ndarray) -> float:
    """Share of vectors whose nearest other vector, by cosine, is of the same group."""
    unit_NE = unit(x_NE)
    cosine_NN = unit_NE @ unit_NE.T
    np.fill_diagonal(cosine_NN, -np.inf)
    return float((group_N[cosine_NN.argmax(axis=1)] == group_N).mean())


# Name -> what is done to the vectors before their cosines are taken.
CURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw": lambda x_NE: x_NE,
    "centred": centred,
    "standardised": standardised,
    "whitened": whitened,
    "without_1_direction": lambda x_NE: without_directions(x_NE, 1),
    "without_3_directions": lambda x_NE: without_directions(x_NE, 3),
}
