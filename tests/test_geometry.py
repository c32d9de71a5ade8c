"""The geometry of vectors, by cases that can be reckoned by hand and by other ways to reckon."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from scaling.evaluate import geometry
from scaling.evaluate.geometry import CURES, NoSpreadError


def cloud(n: int = 200, width: int = 6, *, offset: float = 5.0, seed: int = 0) -> np.ndarray:
    """Correlated vectors around a point far from the origin."""
    rng = np.random.default_rng(seed)
    x_NE: np.ndarray = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    return x_NE + offset * rng.normal(size=width)


def test_cosines_of_pairs_apart() -> None:
    x_NE = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, 0.0]])
    one_P, other_P = geometry.pairs_apart(np.array([0, 0, 1, 2, 3]))
    assert list(zip(one_P, other_P, strict=True)) == [
        (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4),
    ]  # fmt: skip
    found = geometry.pair_cosines(x_NE, one_P, other_P)
    assert found == pytest.approx([0, -1, 0, 0, -1, 0, 0, 0, 0])
    assert geometry.row_cosines(x_NE[:2], x_NE[2:4]) == pytest.approx([0, -1])


def test_the_share_of_the_mean() -> None:
    assert geometry.mean_share(np.array([[3.0, 4.0], [3.0, 4.0]])) == pytest.approx(1.0)
    assert geometry.mean_share(np.array([[3.0, 4.0], [-3.0, -4.0]])) == 0.0
    # Mean (1, 0), so |mean|^2 = 1; mean square (1 + 1 + 1 + 9) / 2 = 6.
    assert geometry.mean_share(np.array([[1.0, 1.0], [1.0, -1.0]])) == pytest.approx(0.5)
    # Of unit vectors it is the mean cosine over all ordered pairs, also of one with itself.
    unit_NE = geometry.unit(cloud())
    assert geometry.mean_share(unit_NE) == pytest.approx(float((unit_NE @ unit_NE.T).mean()))


def test_each_cure_leaves_what_it_says() -> None:
    x_NE = cloud()
    assert geometry.centred(x_NE).mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-12)
    scaled_NE = geometry.standardised(x_NE)
    assert scaled_NE == pytest.approx(scipy.stats.zscore(x_NE, axis=0))
    white_NE = geometry.whitened(x_NE)
    assert white_NE.T @ white_NE / len(x_NE) == pytest.approx(np.eye(6), abs=1e-10)
    left_NE = geometry.without_directions(x_NE, 2)
    before, after = (np.sort(np.linalg.eigvalsh(np.cov(v.T)))[::-1] for v in (x_NE, left_NE))
    assert after[:4] == pytest.approx(before[2:])
    assert after[4:] == pytest.approx([0, 0], abs=1e-10)


def test_a_dead_dimension_is_no_trouble() -> None:
    x_NE = cloud()
    x_NE[:, 2] = 7.0
    assert not geometry.standardised(x_NE)[:, 2].any()
    assert geometry.whitened(x_NE).shape == (200, 5)


def test_equal_vectors_have_no_spread() -> None:
    x_NE = np.tile(np.array([[0.1, 0.7, 0.3]]), (9, 1))
    for name, cure in CURES.items():
        if name != "raw":
            with pytest.raises(NoSpreadError, match="without their mean nothing is left"):
                cure(x_NE)
    with pytest.raises(NoSpreadError):
        geometry.iso_score(x_NE)
    with pytest.raises(NoSpreadError):
        geometry.r_squared(np.full(9, 0.999), np.linspace(0, 1, 9))


def test_contributions_sum_to_the_mean_cosine_and_name_the_rogue_dimension() -> None:
    group_N = np.repeat(np.arange(50), 4)
    x_NE = cloud(offset=0.1)
    x_NE[:, 3] += 40.0
    one_P, other_P = geometry.pairs_apart(group_N)
    found_E = geometry.contributions(x_NE, group_N)
    unit_NE = geometry.unit(x_NE)
    assert found_E == pytest.approx((unit_NE[one_P] * unit_NE[other_P]).mean(axis=0))
    cosine_P = geometry.pair_cosines(x_NE, one_P, other_P)
    assert found_E.sum() == pytest.approx(cosine_P.mean())
    assert found_E.argmax() == 3
    left_NE = geometry.without_dimensions(x_NE, found_E, 1)
    assert np.array_equal(left_NE, np.delete(x_NE, 3, axis=1))
    assert found_E[3] / found_E.sum() > 0.9 > geometry.pair_cosines(left_NE, one_P, other_P).mean()


def test_r_squared_is_that_of_pearson() -> None:
    rng = np.random.default_rng(0)
    one_P = rng.normal(size=50)
    other_P = one_P + rng.normal(size=50)
    expected = scipy.stats.pearsonr(one_P, other_P).statistic ** 2
    assert geometry.r_squared(one_P, other_P) == pytest.approx(expected)


@pytest.mark.parametrize("used", [1, 2, 5, 8])
def test_iso_score_counts_the_dimensions_in_use(used: int) -> None:
    # Rudman et al. 2022: k of n dimensions with equal variance give (k - 1) / (n - 1). The rows are
    # plus and minus each axis, whose covariance is exact.
    axes = np.eye(8)[:used]
    x_NE = np.concatenate([axes, -axes]) + 3.0
    assert geometry.iso_score(x_NE) == pytest.approx((used - 1) / 7, abs=1e-12)
    # It knows no axes and no scale.
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    assert geometry.iso_score(100 * x_NE @ rotation) == pytest.approx((used - 1) / 7, abs=1e-12)


def test_iso_score_of_two_unequal_variances() -> None:
    # Variances 3 and 1 in two dimensions: normed to length sqrt(2) they are sqrt(2/10) (3, 1); by
    # the paper's steps the defect follows, and with it the score.
    x_NE = np.array([[3**0.5, 0.0], [-(3**0.5), 0.0], [0.0, 1.0], [0.0, -1.0]])
    normed = (2 / 10) ** 0.5 * np.array([3.0, 1.0])
    defect_squared = ((normed - 1) ** 2).sum() / (2 * (2 - 2**0.5))
    share = (2 - defect_squared * (2 - 2**0.5)) ** 2 / 4
    assert geometry.iso_score(x_NE) == pytest.approx(2 * share - 1)
    assert geometry.iso_score(x_NE) == pytest.approx(0.6)


def test_neighbours_of_the_same_group() -> None:
    x_NE = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert geometry.same_group_neighbours(x_NE, np.array([0, 0, 1, 1])) == 1.0
    assert geometry.same_group_neighbours(x_NE, np.array([0, 1, 0, 1])) == 0.0
    assert geometry.same_group_neighbours(x_NE, np.array([0, 0, 1, 2])) == 0.5
