"""Where a loss curve over log N has its minimum: by parabola, and by Akima interpolation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

Floats = NDArray[np.float64]

# Points of the grid on which the interpolant is searched; a local parabola refines the result.
_GRID = 512
# A flat parabola has its minimum anywhere; farther out than this many spans it says no more.
_MAX_SPANS = 3.0

AT_SMALLEST = "the lowest loss is at the smallest size; add smaller sizes"
AT_LARGEST = "the lowest loss is at the largest size; add larger sizes"
OUTSIDE = "the parabola's minimum lies outside the sizes; add sizes on that side"
DOWNWARD = "the parabola opens downward; there is no minimum"


def parabola(log_n: Floats, loss_BS: Floats) -> tuple[Floats, Floats, NDArray[np.object_]]:
    """Minima of parabolas through losses over log N.

    Args:
        log_n: [S] distinct and sorted, at least 3.
        loss_BS: [B, S] one curve per row.
    Returns:
        log N at the minimum [B], the loss there [B] (NaN where refused), and the reason for a
        refusal [B], empty where there is none. Where it is refused, log N is the parabola's
        minimum outside the sizes, up to three of their spans away (NaN if it opens downward),
        or the end at which the interpolant is lowest.
    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.
    """
    centre = log_n.mean()
    x = log_n - centre
    design = np.stack([np.ones_like(x), x, x * x], axis=1)
    intercept, slope, curvature = np.linalg.pinv(design) @ loss_BS.T
    reasons = np.full(len(loss_BS), "", dtype=object)
    reasons[curvature <= 0] = DOWNWARD
    safe = np.where(curvature > 0, curvature, 1.0)
    at = np.where(curvature > 0, -slope / (2 * safe), np.nan)
    reasons[(reasons == "") & ((at <= x[0]) | (at >= x[-1]))] = OUTSIDE
    lowest = np.where(reasons == "", intercept - slope**2 / (4 * safe), np.nan)
    reach = _MAX_SPANS * (x[-1] - x[0])
    return np.clip(at, x[0] - reach, x[-1] + reach) + centre, lowest, reasons


def akima(log_n: Floats, loss_BS: Floats) -> tuple[Floats, Floats, NDArray[np.object_]]:
    """Minima of Akima interpolants of log loss over log N; see `parabola` for the shapes.

    Source: Porian et al. 2024, arXiv:2406.19146, section 3 and its code's choice of interpolant.
    """
    grid = np.linspace(log_n[0], log_n[-1], _GRID)
    curves_GB = Akima1DInterpolator(log_n, np.log(loss_BS).T)(grid)
    index = curves_GB.argmin(axis=0)
    reasons = np.full(len(loss_BS), "", dtype=object)
    reasons[index == 0] = AT_SMALLEST
    reasons[index == _GRID - 1] = AT_LARGEST
    inner = np.clip(index, 1, _GRID - 2)
    columns = np.arange(len(loss_BS))
    left, middle, right = (curves_GB[inner + shift, columns] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend > 0, (left - right) / (2 * np.where(bend > 0, bend, 1.0)), 0.0)
    shift = np.clip(shift, -1.0, 1.0)
    lowest = middle + shift * (right - left) / 2 + shift**2 * bend / 2
    refused = reasons != ""
    at = np.where(refused, grid[index], grid[inner] + shift * (grid[1] - grid[0]))
    return at, np.where(refused, np.nan, np.exp(lowest)), reasons


def parabola_curve(log_n: Floats, loss: Floats) -> Callable[[Floats], Floats]:
    """The fitted parabola as a function of log N, for figures."""
    coefficients = np.polynomial.Polynomial.fit(log_n, loss, 2)
    return lambda x: np.asarray(coefficients(x), dtype=float)


def akima_curve(log_n: Floats, loss: Floats) -> Callable[[Floats], Floats]:
    """The interpolant as a function of log N, for figures; NaN outside the sizes."""
    interpolant = Akima1DInterpolator(log_n, np.log(loss))
    return lambda x: np.asarray(np.exp(interpolant(x)), dtype=float)


METHODS = {"parabola": parabola, "akima": akima}
CURVES = {"parabola": parabola_curve, "akima": akima_curve}
