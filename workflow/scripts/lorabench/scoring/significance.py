"""Differences between two variants: paired tests, equivalence, family-wise adjustment and the
verdict in words.

Two variants pair by position (the caller joins rows by item id first); differences are variant -
reference. `clusters` and the treatment of what cannot be computed: see `lorabench.uncertainty`.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lorabench.errors import DataError
from lorabench.uncertainty import Estimate, Interval, bootstrap_mean, mean_estimate, t_quantile

# chance of detection in "smallest detectable difference", the customary 80 %
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference, variant - reference, with its test."""

    difference: float
    standard_error: float | None
    interval: Interval | None
    confidence: float
    n: int
    clusters: int
    # two-sided, of no difference; 1 where all pairs are equal
    p_value: float | None
    smallest_detectable: (
        float | None
        # true difference found with 80 % power at this n; None without spread
    )
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
    """Two one-sided tests that a paired difference lies within +-margin."""

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
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Difference:
    """Return mean(variant - reference) with its paired t test; cluster-robust where clusters are
    given.

    Raises:
        DataError: as `mean_estimate`, or the two sides differ in length.
    """
    mean = mean_estimate(_differences(reference, variant), clusters, confidence)
    error, freedom = mean.standard_error, mean.clusters - 1
    return Difference(
        difference=mean.value,
        standard_error=error,
        interval=mean.interval,
        confidence=confidence,
        n=mean.n,
        clusters=mean.clusters,
        p_value=None if error is None else _two_sided(mean.value, error, freedom),
        smallest_detectable=(
            smallest_detectable_difference(error, freedom, confidence) if error else None
        ),
        method="paired " + mean.method.removeprefix("mean, "),
    )


def bootstrap_difference(
    reference: Sequence[float],
    variant: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Return mean(variant - reference) with its paired (cluster) bootstrap interval; see
    `bootstrap_mean`."""
    return bootstrap_mean(_differences(reference, variant), clusters, confidence, resamples, seed)


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


def mcnemar_exact(table: FlipTable) -> float:
    """Return the exact two-sided McNemar p-value: the discordant items as fair coin tosses; 1
    without any."""
    discordant = table.only_reference + table.only_variant
    return float(stats.binomtest(table.only_variant, discordant).pvalue) if discordant else 1.0


def paired_proportion_difference(table: FlipTable, confidence: float = 0.95) -> Difference:
    """Return the difference of two paired shares of right answers: adjusted Wald interval, exact
    McNemar test.

    The interval adds half an item to each cell (Agresti and Min 2005, doi:10.1002/sim.1781); unlike
    the t interval it keeps a width when no item flips. `difference` itself is the raw one.

    Raises:
        DataError: the table is empty.
    """
    if table.n < 1:
        raise DataError("paired shares: no items")
    n, lost, gained = table.n + 2, table.only_reference + 0.5, table.only_variant + 0.5
    error = float(np.sqrt((lost + gained) - (gained - lost) ** 2 / n) / n)
    centre, half_width = (gained - lost) / n, error * t_quantile(0.5 + confidence / 2, None)
    return Difference(
        difference=(table.only_variant - table.only_reference) / table.n,
        standard_error=error,
        interval=(max(-1.0, centre - half_width), min(1.0, centre + half_width)),
        confidence=confidence,
        n=table.n,
        clusters=table.n,
        p_value=mcnemar_exact(table),
        smallest_detectable=smallest_detectable_difference(error, None, confidence),
        method="paired shares, Agresti-Min interval, exact McNemar",
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's (1979) adjusted p-values of a family of tests, under the same names in the same
    order."""
    if not p_values:
        return {}
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}


def equivalence_test(
    reference: Sequence[float],
    variant: Sequence[float],
    margin: float,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Equivalence:
    """Test that |mean(variant - reference)| < margin by two one-sided paired t tests (Schuirmann
    1987).

    Raises:
        DataError: as `paired_difference`, or the margin is not positive.
    """
    if not margin > 0:
        raise DataError(f"equivalence margin: expected a number > 0, found {margin}")
    mean = mean_estimate(_differences(reference, variant), clusters, 1 - 2 * (1 - confidence))
    error, freedom, inside = mean.standard_error, mean.clusters - 1, margin - abs(mean.value)
    p_value = (
        None
        if error is None
        else float(stats.t.sf(inside / error, freedom))
        if error
        else float(inside <= 0)
    )
    return Equivalence(
        difference=mean.value,
        margin=margin,
        p_value=p_value,
        equivalent=p_value is not None and p_value < 1 - confidence,
        interval=mean.interval,
        n=mean.n,
    )


def smallest_detectable_difference(
    standard_error: float,
    degrees_of_freedom: int | None = None,
    confidence: float = 0.95,
    power: float = POWER,
) -> float:
    """Return the true difference that a two-sided test finds with `power`: (t_(1-alpha/2) +
    t_power) * SE (Bloom 1995).

    None degrees of freedom = normal quantiles.
    """
    return standard_error * (
        t_quantile(0.5 + confidence / 2, degrees_of_freedom) + t_quantile(power, degrees_of_freedom)
    )


def verdict(difference: Difference, adjusted_p_value: float | None = None) -> str:
    """Say what a difference shows, higher being better; `adjusted_p_value` (Holm) decides where it
    is given."""
    p_value = difference.p_value if adjusted_p_value is None else adjusted_p_value
    if p_value is None:
        return (
            f"no difference detectable at this n: {difference.clusters} independent item(s) show no"
            " spread"
        )
    if p_value < 1 - difference.confidence and difference.difference:
        return "better" if difference.difference > 0 else "worse"
    if difference.smallest_detectable is None:
        return f"no difference: equal on all {difference.n} items"
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


def _two_sided(mean: float, error: float, freedom: int) -> float:
    """Return the two-sided t test's p-value; without spread 1 for a mean of 0, else 0."""
    return float(2 * stats.t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
