"""Scores with their uncertainty: standard errors, intervals and bootstraps, on numpy and scipy.

Values are one number an item. `clusters` names the unit that was sampled, one label an item (MMLU
subject, MT-Bench question); None = every item is its own unit. What cannot be computed (the spread
of one item) is None, never NaN.

Why errors are clustered: Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640; sources of
formulas: at their functions.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats

from lorabench.errors import DataError

Interval = tuple[float, float]
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# random draws held in memory at once (16 MB)
BOOTSTRAP_CHUNK = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score with its uncertainty."""

    value: float
    # None with a single cluster
    standard_error: float | None
    interval: Interval | None
    # of the interval, e.g. 0.95
    confidence: float
    # items
    n: int
    # resampling units; = n without clustering
    clusters: int
    method: str


def mean_estimate(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> Estimate:
    """Return the mean with its standard error and Student t interval; see `ratio_estimate`.

    Without clusters the error is the sample's standard deviation over the root of n, as
    lm-evaluation-harness prints it.

    Raises:
        DataError: no values, a value that is not finite, or another number of cluster labels than
            of values.
    """
    sums, sizes = cluster_sums(values, clusters)
    k, n = len(sums), int(sizes.sum())
    estimate = ratio_estimate(sums.tolist(), sizes.tolist(), confidence)
    method = "mean, Student t" if k == n else "mean, cluster-robust Student t"
    return replace(estimate, n=n, method=method)


def ratio_estimate(
    sums: Sequence[float], sizes: Sequence[float], confidence: float = 0.95
) -> Estimate:
    """Return sum(sums) / sum(sizes), one pair a cluster, with its robust error and t interval.

    With weights w = size / total and residuals e = (sum - size * ratio) / total the squared error
    is the sum of e^2 / (1 - 2 w + sum of w^2): without bias where the noise is that of whole
    clusters (each sum varies as its size), and CR1 (Liang and Zeger 1986) for equal sizes. The
    degrees of freedom are Satterthwaite's under the same model (Bell and McCaffrey 2002; Imbens and
    Kolesar 2016, doi:10.1162/REST_a_00552): k - 1 for equal sizes, less for unequal ones.

    Raises:
        DataError: no pairs, two lengths, a value that is not finite, or a size <= 0.
    """
    tops, weights = (np.asarray(part, dtype=np.float64) for part in (sums, sizes))
    usable = tops.ndim == 1 and tops.size > 0 and tops.shape == weights.shape
    if (
        not usable
        or not np.isfinite(tops).all()
        or not (np.isfinite(weights) & (weights > 0)).all()
    ):
        raise DataError(
            f"ratio: expected pairs of finite numbers with denominators > 0, found {tops.shape} and"
            f" {weights.shape}"
        )
    k, ratio = len(tops), float(tops.sum() / weights.sum())
    error, interval = None, None
    if k > 1:
        error = math.sqrt(robust_variance(tops, weights))
        half = error * t_quantile(0.5 + confidence / 2, degrees_of_freedom(weights))
        interval = ratio - half, ratio + half
    return Estimate(
        value=ratio,
        standard_error=error,
        interval=interval,
        confidence=confidence,
        n=k,
        clusters=k,
        method="ratio of sums, cluster-robust Student t",
    )


def proportion_estimate(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return a share of right answers with its mid-p interval; see `mid_p_interval`.

    The standard error is that of the mean of n zeros and ones, sqrt(p (1 - p) / (n - 1)).

    Raises:
        DataError: n < 1 or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise DataError(
            f"proportion: expected 0 <= successes <= n and n >= 1, found {successes} of {n}"
        )
    share = successes / n
    return Estimate(
        value=share,
        standard_error=float(np.sqrt(share * (1 - share) / (n - 1))) if n > 1 else None,
        interval=mid_p_interval(successes, n, confidence),
        confidence=confidence,
        n=n,
        clusters=n,
        method="share, mid-p",
    )


def mid_p_interval(successes: float, n: float, confidence: float) -> Interval:
    """Return the shares that a binomial test at mid-p (Lancaster 1961) does not reject.

    Binomial tails are incomplete beta functions, which also take the fractions of an effective
    sample size. Clopper and Pearson's interval, which counts the whole probability of what was
    seen, is wider.
    """
    tail = (1 - confidence) / 2

    def at_least(share: float) -> float:
        """Return P(X > successes) + P(X = successes) / 2."""
        seen = special.betainc(successes, n - successes + 1, share) if successes > 0 else 1.0
        more = special.betainc(successes + 1, n - successes, share) if n > successes else 0.0
        return float(seen + more) / 2

    low = 0.0 if successes <= 0 else optimize.brentq(lambda p: at_least(p) - tail, 0, 1)
    high = 1.0 if successes >= n else optimize.brentq(lambda p: at_least(p) - 1 + tail, 0, 1)
    return float(low), float(high)


def bounded_mean_estimate(
    values: Sequence[float],
    bounds: Interval,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the mean of values on a bounded scale, with an interval that stays on the scale.

    The mean counts as a share of n_eff right answers: n over the design effect, the ratio of the
    robust variance to that of as many zeros and ones (Korn and Graubard 1998, with the mid-p
    interval and their factor for the degrees of freedom of clusters). A small sample may have seen
    nothing of a rare win; the design effect is therefore that of the values and two imagined ones,
    one at each end of the scale. For zeros and ones the interval is that of `proportion_estimate`.

    Raises:
        DataError: as `mean_estimate`, or a value outside the bounds.
    """
    plain = mean_estimate(values, clusters, confidence)
    low, high = bounds
    if not low - 1e-9 <= min(values) <= max(values) <= high + 1e-9:
        raise DataError(
            f"bounded mean: expected values from {low} to {high}, found {min(values)} to"
            f" {max(values)}"
        )
    method = f"mean, mid-p on the effective n{', by cluster' if plain.clusters < plain.n else ''}"
    if plain.standard_error is None:
        return replace(plain, method=method)
    sums, sizes = cluster_sums([(value - low) / (high - low) for value in values], clusters)
    n, share = plain.n, float(sums.sum() / sizes.sum())
    sums, sizes = np.append(sums, [0.0, 1.0]), np.append(sizes, [1.0, 1.0])
    imagined = sums.sum() / (n + 2)
    effect = robust_variance(sums, sizes) / (imagined * (1 - imagined) / (n + 1))
    freedom = degrees_of_freedom(sizes[:-2])
    narrowing = (t_quantile(0.975, n - 1) / t_quantile(0.975, freedom)) ** 2
    effective = n / effect * narrowing
    ends = mid_p_interval(share * effective, effective, confidence)
    interval = (low + (high - low) * ends[0], low + (high - low) * ends[1])
    return replace(plain, interval=interval, method=method)


def bootstrap_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Return the mean with a cluster bootstrap interval: whole clusters drawn with replacement.

    The percentiles are those of the expanded percentile interval (Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap"): Phi(-sqrt(k/(k-1)) t), which undoes the narrowness of the
    plain one for few clusters k.

    Raises:
        DataError: as `mean_estimate`.
    """
    sums, sizes = cluster_sums(values, clusters)
    k, n = len(sums), int(sizes.sum())
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed)) if k > 1 else None
    return Estimate(
        value=float(sums.sum() / n),
        standard_error=None if means is None else float(means.std(ddof=1)),
        interval=None if means is None else _expanded_percentiles(means, k, confidence),
        confidence=confidence,
        n=n,
        clusters=k,
        method=f"mean, {'cluster ' if k < n else ''}bootstrap, {resamples} resamples",
    )


def t_quantile(share: float, freedom: float | None) -> float:
    """Return the quantile of Student's t; of the normal distribution where `freedom` is None."""
    return float(stats.norm.ppf(share) if freedom is None else stats.t.ppf(share, freedom))


def cluster_sums(
    values: Sequence[float], clusters: Sequence[Hashable] | None
) -> tuple[Floats, Floats]:
    """Return sum of values and size by cluster, [k] each, in order of first appearance."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise DataError(
            f"statistics: expected at least one value, all finite, found shape {array.shape}"
        )
    if clusters is None:
        return array, np.ones_like(array)
    if len(clusters) != len(array):
        raise DataError(f"statistics: {len(array)} values but {len(clusters)} cluster labels")
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(label, len(numbers)) for label in clusters])
    return np.bincount(index, array).astype(np.float64), np.bincount(index).astype(np.float64)


def robust_variance(sums: Floats, sizes: Floats) -> float:
    """Return the squared error of a ratio of sums of clusters; see `ratio_estimate`."""
    total = sizes.sum()
    weights = sizes / total
    residuals = (sums - sizes * (sums.sum() / total)) / total
    shrinkage = 1 - 2 * weights + np.square(weights).sum()
    return float((np.square(residuals) / shrinkage).sum())


def degrees_of_freedom(sizes: Floats) -> float:
    """Return Satterthwaite's degrees of freedom of `robust_variance`."""
    if (sizes == sizes[0]).all():
        return len(sizes) - 1.0
    weights = sizes / sizes.sum()
    squares = np.square(weights)
    total = squares.sum()
    # of the residuals where a sum's standard deviation is its size: diagonal and a rank of two
    pair = np.column_stack([weights, squares])
    mixing = np.array([[total, -1.0], [-1.0, 0.0]])
    factors = 1 / (1 - 2 * weights + total)
    rest = np.einsum("ij,jk,ik->i", pair, mixing, pair)
    crossed = mixing @ (pair.T * factors) @ pair
    spread = (np.square(factors) * squares * (squares + 2 * rest)).sum()
    return float(total**2 / (spread + np.trace(crossed @ crossed)))


def _resampled_means(
    sums: Floats, sizes: Floats, resamples: int, generator: np.random.Generator
) -> Floats:
    """Return [resamples] means of k clusters drawn with replacement, chunk by chunk."""
    k = len(sums)
    step = max(1, BOOTSTRAP_CHUNK // k)
    means = []
    for start in range(0, resamples, step):
        drawn = generator.integers(0, k, (min(step, resamples - start), k))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)


def _expanded_percentiles(means: Floats, k: int, confidence: float) -> Interval:
    """Return Hesterberg's expanded percentile interval for k clusters."""
    tail = float(stats.norm.cdf(-np.sqrt(k / (k - 1)) * t_quantile(0.5 + confidence / 2, k - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
