"""Bounds of a mean that hold where a sample may have missed the rare units that lose much.

The spread of such a sample says too little, and Student's t passes what it should not. Gaffke's
bound (2005; Learned-Miller and Thomas 2019, arXiv:1905.06208) gives each unit, and one that was not
seen, a random weight (exponential) and takes a quantile of the weighted ratio of sums. Where a loss
happens or not it is Clopper and Pearson's bound. The unseen unit is the worst that can happen:
whoever calls says how bad that is.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from lorabench.uncertainty import Floats

# (ratio, size) of what was not seen: the one that moves a bound most counts
Unseen = Sequence[tuple[float, float]]


def upper_bound(sums: Floats, sizes: Floats, unseen: Unseen, tail: float) -> float:
    """Return the ratio sum(sums) / sum(sizes) that the true one exceeds with a small probability.

    It is at most `tail` (below 0.5), if no unit is worse than those of `unseen` and those seen.
    """
    start = float(sums.sum() / sizes.sum())
    end = max(float((sums / sizes).max()), *(ratio for ratio, _ in unseen)) + 1e-9
    found = optimize.brentq(
        lambda ratio: p_value(sums, sizes, unseen, ratio) - tail, start, end, rtol=1e-9
    )
    return float(found)


def p_value(sums: Floats, sizes: Floats, unseen: Unseen, ratio: float) -> float:
    """Return the one-sided p-value of a true ratio of at least `ratio`.

    It is the test that `upper_bound` inverts.
    """
    residuals = sums - ratio * sizes
    worst = max(float(residuals.max()), *((by - ratio) * size for by, size in unseen))
    return 1 - _share_below_zero(np.append(residuals, worst))


def least_shift(sums: Floats, sizes: Floats, unseen: Unseen, ratio: float, tail: float) -> float:
    """Return by how much all units must fall for the true ratio to be shown to be below `ratio`."""

    def p_after(shift: float) -> float:
        return p_value(sums - shift * sizes, sizes, unseen, ratio) - tail

    start, step = float(sums.sum() / sizes.sum()) - ratio, 1.0
    while p_after(start + step) > 0:
        step *= 2
    return float(optimize.brentq(p_after, start, start + step, xtol=1e-4))


def _share_below_zero(values: Floats) -> float:
    """Return the probability that a sum of values with exponential weights is below 0.

    By its saddlepoint (Lugannani and Rice 1980); the cumulants' function is -sum of log(1 - s
    value).
    """
    if values.max() <= 0 or values.min() >= 0:
        return float(values.max() <= 0 and values.min() < 0)
    edge = 1 - 1e-12
    point = optimize.brentq(
        lambda s: (values / (1 - s * values)).sum(),
        edge / values.min(),
        edge / values.max(),
        rtol=1e-9,
    )
    factors = 1 - point * values
    root = np.sign(point) * np.sqrt(max(0.0, 2 * np.log(factors).sum()))
    slope = point * np.sqrt(np.square(values / factors).sum())
    # at the mean the formula is 0 / 0
    correction = 1 / root - 1 / slope if abs(root) > 1e-4 else 0.0
    density = np.exp(-root * root / 2) / np.sqrt(2 * np.pi)
    return float(special.ndtr(root) + density * correction)
