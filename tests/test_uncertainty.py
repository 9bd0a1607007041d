"""Intervals of one sample against closed forms, scipy and statsmodels, and simulated data."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lorabench.scoring.crossed_median import median_estimate, noise_band
from lorabench.uncertainty import (
    bootstrap_mean,
    bounded_mean_estimate,
    degrees_of_freedom,
    mean_estimate,
    mid_p_interval,
    proportion_estimate,
    ratio_estimate,
)

REFERENCE = np.random.default_rng(7).normal(5.0, 1.0, 40).tolist()


def test_mean_interval_is_students_t() -> None:
    """The mean's error and interval equal scipy's."""
    estimate = mean_estimate(REFERENCE)
    error = stats.sem(REFERENCE)
    assert estimate.standard_error == pytest.approx(error)
    assert estimate.interval == pytest.approx(stats.t.interval(0.95, 39, np.mean(REFERENCE), error))


def test_clusters_of_equal_size_give_the_error_of_cluster_means() -> None:
    """With equal clusters the cluster-robust error is the plain error of the cluster means."""
    clusters = [f"question-{i // 2}" for i in range(40)]
    means = np.array(REFERENCE).reshape(20, 2).mean(axis=1)
    estimate = mean_estimate(REFERENCE, clusters)
    assert (estimate.n, estimate.clusters) == (40, 20)
    assert estimate.standard_error == pytest.approx(stats.sem(means))


def test_unequal_clusters_lose_degrees_of_freedom() -> None:
    """k - 1 for equal sizes; close to that of the two large ones where they outweigh the rest."""
    assert degrees_of_freedom(np.full(9, 4.0)) == 8
    assert 1 < degrees_of_freedom(np.array([1000.0, 1000.0] + [1.0] * 20)) < 1.2
    generator = np.random.default_rng(0)
    sizes = np.array([30.0, 10, 10, 5, 5, 5])
    # chi-squared of f degrees of freedom: variance 2 f, mean f
    squares = np.array(
        [
            ratio_estimate(list(sizes * generator.normal(size=6)), list(sizes)).standard_error
            for _ in range(5_000)
        ]
    )
    squares = np.square(squares)
    assert squares.mean() == pytest.approx(np.square(sizes / sizes.sum()).sum(), rel=0.06)
    found = 2 * squares.mean() ** 2 / squares.var()
    assert degrees_of_freedom(sizes) == pytest.approx(found, rel=0.1)


def test_a_share_is_rejected_at_the_ends_of_its_interval() -> None:
    """At a bound half of the seen and all of the rest is 2.5 %; near Wilson's at size."""
    for successes in (0, 3, 20):
        low, high = mid_p_interval(successes, 20, 0.95)
        exact = proportion_confint(successes, 20, 0.05, "beta")
        assert exact[0] <= low < high <= exact[1]
        beyond_low = stats.binom.sf(successes, 20, low) + stats.binom.pmf(successes, 20, low) / 2
        below_high = stats.binom.cdf(successes, 20, high) - stats.binom.pmf(successes, 20, high) / 2
        assert successes == 0 or beyond_low == pytest.approx(0.025, abs=1e-9)
        assert successes == 20 or below_high == pytest.approx(0.025, abs=1e-9)
    wilson = proportion_confint(1055, 1319, 0.05, "wilson")
    assert proportion_estimate(1055, 1319).interval == pytest.approx(wilson, abs=3e-4)


def test_zeros_and_ones_are_a_share() -> None:
    """A win rate of sure preferences has the interval of a share, with and without a scale."""
    values = [1.0] * 3 + [0.0] * 13
    share = proportion_estimate(3, 16)
    win_rate = bounded_mean_estimate(values, (0, 1))
    assert win_rate.interval == pytest.approx(share.interval)
    assert win_rate.standard_error == pytest.approx(share.standard_error)
    rating = bounded_mean_estimate([1 + 9 * value for value in values], (1, 10)).interval
    assert rating == pytest.approx([1 + 9 * bound for bound in share.interval or ()])


def test_a_bounded_mean_is_students_at_full_size_and_stays_on_its_scale() -> None:
    """805 preferences: within a twentieth of the t interval's width; 16 losses: from 0 to 19 %."""
    preferences = np.random.default_rng(1).beta(0.5, 1.5, 805).tolist()
    ours, plain = bounded_mean_estimate(preferences, (0, 1)), mean_estimate(preferences)
    assert ours.interval is not None and plain.interval is not None
    width = plain.interval[1] - plain.interval[0]
    assert ours.interval == pytest.approx(plain.interval, abs=width / 20)
    for values in ([0.0] * 16, [0.001 * index for index in range(16)]):
        low, high = bounded_mean_estimate(values, (0, 1)).interval or (-1, -1)
        assert 0 <= low < 0.01 and 0.1 < high < 0.25


def test_clustered_intervals_cover_and_ignoring_clusters_does_not() -> None:
    """20 correlated clusters: 93-97 % coverage; plain intervals less."""
    generator = np.random.default_rng(1)
    clusters = [name for name in range(20) for _ in range(4 + name % 3)]
    hits = {"robust": 0, "bootstrap": 0, "plain": 0}
    runs = 1500
    for _ in range(runs):
        values = (
            generator.normal(0, 1, 20)[clusters] + generator.normal(0, 1, len(clusters))
        ).tolist()
        intervals = {
            "robust": mean_estimate(values, clusters).interval,
            "bootstrap": bootstrap_mean(values, clusters, resamples=600).interval,
            "plain": mean_estimate(values).interval,
        }
        for name, interval in intervals.items():
            assert interval is not None
            hits[name] += interval[0] <= 0 <= interval[1]
    shares = {name: count / runs for name, count in hits.items()}
    assert 0.93 <= shares["robust"] <= 0.97, shares
    assert 0.93 <= shares["bootstrap"] <= 0.97, shares
    assert shares["plain"] < 0.9, shares


def test_bootstrap_draws_whole_clusters() -> None:
    """Where items inside clusters agree, the error is that of the clusters."""
    values = np.repeat(np.arange(30.0), 5)
    estimate = bootstrap_mean(
        values.tolist(), np.repeat(np.arange(30), 5).tolist(), resamples=20_000
    )
    assert estimate.standard_error == pytest.approx(np.arange(30.0).std() / np.sqrt(30), rel=0.03)


def test_median_estimate_contains_the_median_and_widens_with_repeats_that_disagree() -> None:
    """A shift of one repeat shows, which resampling single values would miss."""
    noise = np.random.default_rng(2).normal(1.0, 0.01, (5, 20))
    calm, shaken = (
        median_estimate(noise),
        median_estimate(noise + np.linspace(-0.2, 0.2, 5)[:, None]),
    )
    assert calm.interval is not None and shaken.interval is not None
    assert calm.interval[0] <= calm.value <= calm.interval[1]
    assert shaken.interval[1] - shaken.interval[0] > 10 * (calm.interval[1] - calm.interval[0])


def test_noise_band_is_symmetric_and_holds_the_control() -> None:
    """The band of a control that is off to one side is as wide on the other."""
    assert noise_band((0.8, 0.9)) == pytest.approx((0.8, 1.25))
    assert noise_band((0.99, 1.25)) == pytest.approx((0.8, 1.25))
    assert noise_band((1.0, 1.0)) == (1.0, 1.0)
