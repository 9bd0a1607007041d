"""Differences between two variants: tests, equivalence, adjustment, verdict.

Two variants pair by position (the caller joins rows by item id first); differences are variant -
reference. `clusters` and the treatment of what cannot be computed: see `lorabench.uncertainty`.
Interval and p-value of a difference are always one method: the interval holds 0 exactly where the
p-value is above 1 - confidence.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from lorabench.errors import DataError
from lorabench.scoring.unseen import least_shift, p_value, upper_bound
from lorabench.uncertainty import (
    Estimate,
    Interval,
    bootstrap_mean,
    cluster_sums,
    degrees_of_freedom,
    mean_estimate,
    t_quantile,
)

# chance of detection in "smallest detectable difference", the customary 80 %
POWER = 0.8
# Fewer independent units show no difference of means: five signs that are all alike have p = 0.06.
FEWEST_UNITS = 6
# Below this many units, or where all units are equal, a bootstrap interval is too narrow.
FEWEST_RESAMPLED = 10


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference, variant - reference, with its test."""

    difference: float
    standard_error: float | None
    interval: Interval | None
    confidence: float
    n: int
    clusters: int
    # two-sided, of no difference; None below FEWEST_UNITS, as is the interval
    p_value: float | None
    # true difference found with 80 % power at this n; None without a test
    smallest_detectable: float | None
    method: str


@dataclass(frozen=True, kw_only=True)
class FlipTable:
    """Counts of items by which of two variants answered them right."""

    both_right: int
    only_reference: int
    only_variant: int
    both_wrong: int

    @property
    def n(self) -> int:
        """Items in the table."""
        return self.both_right + self.only_reference + self.only_variant + self.both_wrong


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Two one-sided tests that a paired difference is within +-margin."""

    difference: float
    margin: float
    # of a difference outside the margin; None with a single cluster
    p_value: float | None
    equivalent: bool
    # at 1 - 2 alpha: inside the margin exactly when equivalent
    interval: Interval | None
    n: int


def paired_difference(
    reference: Sequence[float],
    variant: Sequence[float],
    unseen: float,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Difference:
    """Return mean(variant - reference), paired by item, of whole clusters where they are given.

    A small sample can agree on all items, or have missed the rare ones that lose or win much.
    Interval and p-value are therefore those of the units and one that was not seen and changed by
    `unseen`, or as much as the one that changed most; see `lorabench.scoring.unseen`.

    Raises:
        DataError: as `mean_estimate`, or the two sides differ in length.
    """
    differences = _differences(reference, variant)
    plain = mean_estimate(differences, clusters, confidence)
    units = plain.clusters
    method = f"paired mean{', by cluster' if units < plain.n else ''}, Gaffke's bounds"
    if units < FEWEST_UNITS:
        return Difference(
            difference=plain.value,
            standard_error=plain.standard_error,
            interval=None,
            confidence=confidence,
            n=plain.n,
            clusters=units,
            p_value=None,
            smallest_detectable=None,
            method=f"{method}; no test below {FEWEST_UNITS} independent units",
        )
    (sums, sizes), tail = cluster_sums(differences, clusters), (1 - confidence) / 2
    further = [(unseen, float(sizes.mean()))]
    low = -upper_bound(-sums, sizes, further, tail)
    high = upper_bound(sums, sizes, further, tail)
    one_sided = (p_value(side, sizes, further, 0.0) for side in (sums, -sums))
    error = plain.standard_error or 0.0
    power = error * t_quantile(POWER, degrees_of_freedom(sizes))
    # of a true difference of this size the far end of the interval is the wider one
    centred = sums - plain.value * sizes
    reach = max(least_shift(side, sizes, further, 0.0, tail) for side in (centred, -centred))
    return Difference(
        difference=plain.value,
        standard_error=error,
        interval=(low, high),
        confidence=confidence,
        n=plain.n,
        clusters=units,
        p_value=min(1.0, 2 * min(one_sided)),
        smallest_detectable=reach + power,
        method=method,
    )


def bootstrap_difference(
    reference: Sequence[float],
    variant: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Return mean(variant - reference) with its paired bootstrap interval.

    Without an interval where there are fewer than FEWEST_RESAMPLED units or all are equal.
    """
    found = bootstrap_mean(_differences(reference, variant), clusters, confidence, resamples, seed)
    if found.clusters < FEWEST_RESAMPLED or not found.standard_error:
        return replace(found, interval=None)
    return found


def flip_table(reference: Sequence[bool], variant: Sequence[bool]) -> FlipTable:
    """Count items by which side answered them right.

    Raises:
        DataError: the sides differ in length.
    """
    if len(reference) != len(variant):
        raise DataError(
            f"paired items: {len(reference)} of the reference, {len(variant)} of the variant"
        )
    pairs = [(bool(before), bool(after)) for before, after in zip(reference, variant, strict=True)]
    return FlipTable(
        both_right=pairs.count((True, True)),
        only_reference=pairs.count((True, False)),
        only_variant=pairs.count((False, True)),
        both_wrong=pairs.count((False, False)),
    )


def paired_proportion_difference(table: FlipTable, confidence: float = 0.95) -> Difference:
    """Return the difference of two paired shares of right answers, with McNemar's test.

    The interval has all differences that the same score test does not reject (Tango 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).

    McNemar's test without continuity correction keeps its level better than the exact one, which is
    far below it (Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91). The interval
    keeps a width when no item flips. The standard error, for the smallest detectable difference, is
    Agresti and Min's (2005, doi:10.1002/sim.1781): half an item is added to each cell.

    Raises:
        DataError: the table is empty.
    """
    if table.n < 1:
        raise DataError("paired shares: no items")
    n, lost, gained = table.n + 2, table.only_reference + 0.5, table.only_variant + 0.5
    error = float(np.sqrt((lost + gained) - (gained - lost) ** 2 / n) / n)
    difference = (table.only_variant - table.only_reference) / table.n
    quantile = t_quantile(0.5 + confidence / 2, None)

    def bound(edge: float) -> float:
        """Return the difference between the estimate and `edge` (-1 or 1) that is just rejected."""
        sign = -edge * quantile

        def beyond(delta: float) -> float:
            return tango_score(table, delta) - sign

        near_edge = edge * (1 - 1e-12)
        if abs(difference - edge) < 1e-12 or beyond(difference) * beyond(near_edge) >= 0:
            return edge
        return float(optimize.brentq(beyond, difference, near_edge, xtol=1e-14))

    return Difference(
        difference=difference,
        standard_error=error,
        interval=(bound(-1.0), bound(1.0)),
        confidence=confidence,
        n=table.n,
        clusters=table.n,
        p_value=float(2 * stats.norm.sf(abs(tango_score(table, 0.0)))),
        smallest_detectable=smallest_detectable_difference(error, None, confidence),
        method="paired shares, Tango score interval, McNemar score test",
    )


def tango_score(table: FlipTable, delta: float) -> float:
    """Return the score statistic of a true difference `delta`, standard normal where it is true.

    At 0 it is McNemar's, (gained - lost) / root(gained + lost); 0 where nothing flipped.
    """
    n, gained, lost = table.n, table.only_variant, table.only_reference
    # the most likely share of items that only the reference answers right, given delta
    linear = (2 * n - gained + lost) * delta - gained - lost
    root = math.sqrt(max(0.0, linear**2 + 8 * n * lost * delta * (1 - delta)))
    variance = n * (2 * (root - linear) / (4 * n) + delta * (1 - delta))
    distance = gained - lost - n * delta
    return distance / math.sqrt(variance) if variance > 0 else 0.0 if not distance else math.inf


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's (1979) adjusted p-values of a family of tests."""
    if not p_values:
        return {}
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}


def equivalence_test(
    reference: Sequence[float],
    variant: Sequence[float],
    margin: float,
    unseen: float,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Equivalence:
    """Test that |mean(variant - reference)| < margin by two one-sided tests.

    Schuirmann 1987, with the unseen unit of `paired_difference`.

    Raises:
        DataError: as `paired_difference`, or the margin is not positive.
    """
    if not margin > 0:
        raise DataError(f"equivalence margin: expected a number > 0, found {margin}")
    found = paired_difference(reference, variant, unseen, clusters, 1 - 2 * (1 - confidence))
    outside = None
    if found.interval is not None:
        sums, sizes = cluster_sums(_differences(reference, variant), clusters)
        further = [(unseen, float(sizes.mean()))]
        outside = max(p_value(side, sizes, further, margin) for side in (sums, -sums))
    return Equivalence(
        difference=found.difference,
        margin=margin,
        p_value=outside,
        equivalent=outside is not None and outside < 1 - confidence,
        interval=found.interval,
        n=found.n,
    )


def smallest_detectable_difference(
    standard_error: float,
    degrees_of_freedom: float | None = None,
    confidence: float = 0.95,
    power: float = POWER,
) -> float:
    """Return (t_(1-alpha/2) + t_power) * SE, what a two-sided test finds (Bloom 1995).

    None degrees of freedom = normal quantiles.
    """
    return standard_error * (
        t_quantile(0.5 + confidence / 2, degrees_of_freedom) + t_quantile(power, degrees_of_freedom)
    )


def verdict(difference: Difference, adjusted_p_value: float | None = None) -> str:
    """Say what a difference shows, higher being better, by the adjusted p-value if given."""
    p_value = difference.p_value if adjusted_p_value is None else adjusted_p_value
    if p_value is None or difference.smallest_detectable is None:
        return (
            f"not shown: {difference.clusters} independent unit(s), at least {FEWEST_UNITS} are"
            " needed"
        )
    if p_value < 1 - difference.confidence and difference.difference:
        return "better" if difference.difference > 0 else "worse"
    return (
        "no difference detectable at this n: smallest detectable difference"
        f" {difference.smallest_detectable:.3g}"
    )


def _differences(reference: Sequence[float], variant: Sequence[float]) -> list[float]:
    """Return variant - reference, item by item."""
    if len(reference) != len(variant):
        raise DataError(
            f"paired items: {len(reference)} of the reference, {len(variant)} of the variant"
        )
    return [after - before for before, after in zip(reference, variant, strict=True)]
