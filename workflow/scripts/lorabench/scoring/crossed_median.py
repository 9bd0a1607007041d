"""Medians of tables [repeats, items] whose rows and columns are not independent."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lorabench.errors import DataError
from lorabench.uncertainty import Estimate, Floats, Interval, t_quantile


def median_estimate(table: Floats, confidence: float = 0.95) -> Estimate:
    """Return the median of a complete table [repeats, items] of positive values with its interval.

    On the logarithms, the variance is that of the repeats' medians plus that of the items' medians
    less that of single values, which is in both (two-way clustering: Cameron, Gelbach and Miller
    2011, doi:10.1198/jbes.2010.07136), and at least each of the two; the quantile is Student's with
    Satterthwaite's degrees of freedom. A bootstrap over repeats and items is too narrow for three
    repeats that differ. With one repeat the items vary only, with one item the repeats.

    Raises:
        DataError: the table is empty, not two-dimensional or holds a value that is not finite and
            positive.
    """
    usable = table.ndim == 2 and table.size > 0
    if not usable or not (np.isfinite(table) & (table > 0)).all():
        raise DataError(
            "median: expected a complete table [repeats, items] of finite positive values, found"
            f" {table.shape}"
        )
    repeats = len(table)
    value, logarithms = float(np.median(table)), np.log(table)
    error, interval = None, None
    if table.size > 1:
        variance, freedom = _variance(logarithms)
        error = value * math.sqrt(variance)
        factor = math.exp(t_quantile(0.5 + confidence / 2, freedom) * math.sqrt(variance))
        interval = (value / factor, value * factor)
    return Estimate(
        value=value,
        standard_error=error,
        interval=interval,
        confidence=confidence,
        n=table.size,
        clusters=repeats,
        method="median, Student t on logarithms over repeats and items",
    )


def _variance(table: Floats) -> tuple[float, float]:
    """Return the variance of the median of a table and its degrees of freedom."""
    parts = [
        (float(np.median(table, axis=1 - axis).var(ddof=1)) / size, size - 1)
        for axis, size in enumerate(table.shape)
        if size > 1
    ]
    total = sum(variance for variance, _ in parts)
    if len(parts) == 2:
        rows, columns = (table.mean(axis=axis, keepdims=True) for axis in (1, 0))
        rest = np.square(table - rows - columns + table.mean()).sum()
        single = float(rest) / (parts[0][1] * parts[1][1]) / table.size
        total = max(total - single, *(variance for variance, _ in parts))
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    return total, total**2 / spread if spread else float(parts[0][1])


def complete_table(values: Mapping[tuple[int, Any], float]) -> Floats:
    """Return values as [repeats, items], with the items that every repeat has, may be empty."""
    repeats = sorted({repeat for repeat, _ in values})
    items = [
        item
        for item in dict.fromkeys(item for _, item in values)
        if all((repeat, item) in values for repeat in repeats)
    ]
    return np.array([[values[repeat, item] for item in items] for repeat in repeats])


def noise_band(control: Interval) -> Interval:
    """Return the band [1/x, x] that holds 1 and the interval of a ratio of equal things.

    Symmetric, because which of the two runs is the denominator means nothing.
    """
    widest = max(abs(math.log(bound)) for bound in control)
    return math.exp(-widest), math.exp(widest)
