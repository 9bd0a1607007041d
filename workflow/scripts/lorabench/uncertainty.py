"""Scores with their uncertainty: standard errors, intervals and bootstraps, on numpy and scipy.

Values are one number an item. `clusters` names the unit that was sampled, one label an item (MMLU
subject, MT-Bench question); None = every item is its own unit. What cannot be computed (the spread
of one item) is None, never NaN.

Source of the cluster-robust errors: Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640;
of the single
formulas: at their functions.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

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
    """Return the mean with its cluster-robust standard error and Student t interval.

    SE^2 = k/(k-1) * sum over clusters of (sum of residuals)^2 / n^2 with k clusters (Liang and
    Zeger 1986, CR1 for a mean); without clusters this is the sample variance over n, the standard
    error that lm-evaluation-harness prints.

    Raises:
        DataError: no values, a value that is not finite, or another number of cluster labels than
            of values.
    """
    sums, sizes = _cluster_sums(values, clusters)
    k, n = len(sums), int(sizes.sum())
    mean = float(sums.sum() / n)
    error = _robust_error(sums, sizes)
    method = "mean, Student t" if k == n else "mean, cluster-robust Student t"
    interval = (
        None if error is None else _around(mean, error * t_quantile(0.5 + confidence / 2, k - 1))
    )
    return Estimate(
        value=mean,
        standard_error=error,
        interval=interval,
        confidence=confidence,
        n=n,
        clusters=k,
        method=method,
    )


def proportion_estimate(
    successes: int,
    n: int,
    confidence: float = 0.95,
    method: Literal["wilson", "clopper_pearson"] = "wilson",
) -> Estimate:
    """Return a share of right answers with a Wilson (1927) or Clopper-Pearson (1934, never below
    nominal) interval.

    The standard error is that of the mean of n zeros and ones, sqrt(p (1 - p) / (n - 1)).

    Raises:
        DataError: n < 1 or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise DataError(
            f"proportion: expected 0 <= successes <= n and n >= 1, found {successes} of {n}"
        )
    share = successes / n
    bounds = stats.binomtest(successes, n).proportion_ci(
        confidence, "wilson" if method == "wilson" else "exact"
    )
    return Estimate(
        value=share,
        standard_error=float(np.sqrt(share * (1 - share) / (n - 1))) if n > 1 else None,
        interval=(float(bounds.low), float(bounds.high)),
        confidence=confidence,
        n=n,
        clusters=n,
        method="share, Wilson" if method == "wilson" else "share, Clopper-Pearson",
    )


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
    sums, sizes = _cluster_sums(values, clusters)
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


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Return sum(numerators) / sum(denominators) with a bootstrap interval over clusters.

    One pair a cluster, such as a conversation's sum of losses and its number of tokens. The
    interval is the expanded percentile interval of `bootstrap_mean`.

    Raises:
        DataError: no pairs, two lengths, a value that is not finite, or a denominator <= 0.
    """
    sums, sizes = (np.asarray(part, dtype=np.float64) for part in (numerators, denominators))
    usable = sums.ndim == 1 and sums.size > 0 and sums.shape == sizes.shape
    if not usable or not np.isfinite(sums).all() or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise DataError(
            f"ratio: expected pairs of finite numbers with denominators > 0, found {sums.shape} and"
            f" {sizes.shape}"
        )
    k = len(sums)
    ratios = (
        _resampled_means(sums, sizes, resamples, np.random.default_rng(seed)) if k > 1 else None
    )
    return Estimate(
        value=float(sums.sum() / sizes.sum()),
        standard_error=None if ratios is None else float(ratios.std(ddof=1)),
        interval=None if ratios is None else _expanded_percentiles(ratios, k, confidence),
        confidence=confidence,
        n=k,
        clusters=k,
        method=f"ratio of sums, cluster bootstrap, {resamples} resamples",
    )


def bootstrap_median(
    table: Floats, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Return the median of a complete table [repeats, items] with a bootstrap interval.

    Repeats and items are both drawn with replacement, crossed (the pigeonhole bootstrap, Owen 2007,
    doi:10.1214/07-AOAS122): values that share a repeat or an item are not independent.

    Raises:
        DataError: the table is empty, not two-dimensional or holds a value that is not finite.
    """
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise DataError(
            "median: expected a complete table [repeats, items] of finite values, found"
            f" {table.shape}"
        )
    repeats, items = table.shape
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, repeats, (resamples, repeats, 1))
    columns = generator.integers(0, items, (resamples, 1, items))
    medians = np.median(table[rows, columns], axis=(1, 2)) if table.size > 1 else None
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return Estimate(
        value=float(np.median(table)),
        standard_error=None if medians is None else float(medians.std(ddof=1)),
        interval=None if medians is None else _pair(np.quantile(medians, tails)),
        confidence=confidence,
        n=table.size,
        clusters=repeats,
        method=f"median, bootstrap over repeats and items, {resamples} resamples",
    )


def complete_table(values: Mapping[tuple[int, Any], float]) -> Floats:
    """Return the values of (repeat, item) as a table [repeats, items], with the items that every
    repeat has; of size 0 where there is none."""
    repeats = sorted({repeat for repeat, _ in values})
    items = [
        item
        for item in dict.fromkeys(item for _, item in values)
        if all((repeat, item) in values for repeat in repeats)
    ]
    return np.array([[values[repeat, item] for item in items] for repeat in repeats])


def noise_band(control: Interval) -> Interval:
    """Return the band [1/x, x] that holds 1 and the interval of a ratio between two runs of the
    same thing.

    Symmetric, because which of the two runs is the denominator means nothing.
    """
    widest = max(abs(math.log(bound)) for bound in control)
    return math.exp(-widest), math.exp(widest)


def t_quantile(share: float, freedom: int | None) -> float:
    """Return the quantile of Student's t; of the normal distribution where `freedom` is None."""
    return float(stats.norm.ppf(share) if freedom is None else stats.t.ppf(share, freedom))


def _cluster_sums(
    values: Sequence[float], clusters: Sequence[Hashable] | None
) -> tuple[Floats, Floats]:
    """Return per cluster the sum of its values and its size, [k] each, clusters in order of first
    appearance."""
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


def _robust_error(sums: Floats, sizes: Floats) -> float | None:
    """Return the cluster-robust standard error of the mean, None with a single cluster."""
    k, n = len(sums), sizes.sum()
    if k < 2:
        return None
    residuals = sums - sizes * (sums.sum() / n)
    return float(np.sqrt(k / (k - 1) * np.square(residuals).sum()) / n)


def _resampled_means(
    sums: Floats, sizes: Floats, resamples: int, generator: np.random.Generator
) -> Floats:
    """Return [resamples] means of k clusters drawn with replacement, in chunks that bound
    memory."""
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
    return _pair(np.quantile(means, [tail, 1 - tail]))


def _around(centre: float, half_width: float) -> Interval:
    """Return centre +- half_width."""
    return centre - half_width, centre + half_width


def _pair(bounds: Floats) -> Interval:
    """Return two bounds as plain floats."""
    return float(bounds[0]), float(bounds[1])
