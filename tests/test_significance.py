"""Statistics against closed forms, scipy and statsmodels, and simulated data with known answers."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from lorabench.errors import DataError
from lorabench.scoring.significance import (
    FlipTable,
    bootstrap_difference,
    equivalence_test,
    flip_table,
    holm,
    mcnemar_exact,
    paired_difference,
    paired_proportion_difference,
    smallest_detectable_difference,
    verdict,
)
from lorabench.uncertainty import (
    bootstrap_mean,
    bootstrap_median,
    mean_estimate,
    noise_band,
    proportion_estimate,
)

GENERATOR = np.random.default_rng(7)
REFERENCE = GENERATOR.normal(5.0, 1.0, 40).tolist()
VARIANT = (np.array(REFERENCE) + GENERATOR.normal(0.2, 0.5, 40)).tolist()
SIMULATIONS = 4000


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


def test_wilson_and_clopper_pearson_match_statsmodels() -> None:
    """Both share intervals equal statsmodels', at the edges too."""
    for successes in (0, 3, 20):
        for method, their_name in (("wilson", "wilson"), ("clopper_pearson", "beta")):
            interval = proportion_estimate(successes, 20, method=method).interval  # type: ignore[arg-type]
            assert interval == pytest.approx(
                proportion_confint(successes, 20, 0.05, their_name), abs=1e-9
            )


def test_paired_t_test_matches_scipy() -> None:
    """The paired difference's p-value and interval equal scipy's ttest_rel."""
    ours, theirs = paired_difference(REFERENCE, VARIANT), stats.ttest_rel(VARIANT, REFERENCE)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.interval == pytest.approx(tuple(theirs.confidence_interval()))


def test_mcnemar_matches_statsmodels() -> None:
    """The exact test equals statsmodels', and is 1 without discordant items."""
    for lost, gained in ((3, 9), (5, 5), (0, 6)):
        expected = mcnemar([[50, lost], [gained, 38]], exact=True).pvalue
        table = FlipTable(both_right=50, only_reference=lost, only_variant=gained, both_wrong=38)
        assert mcnemar_exact(table) == pytest.approx(expected)
    assert (
        mcnemar_exact(FlipTable(both_right=3, only_reference=0, only_variant=0, both_wrong=1))
        == 1.0
    )


def test_flip_table_counts_each_cell() -> None:
    """Each combination lands in its own cell."""
    table = flip_table(
        [True, True, True, False, False, False], [True, False, False, True, False, True]
    )
    assert (
        table.both_right,
        table.only_reference,
        table.only_variant,
        table.both_wrong,
        table.n,
    ) == (1, 2, 2, 1, 6)


def test_agresti_min_interval_has_its_published_form() -> None:
    """The interval is the Wald interval of the table with half an item added to each cell, e.g.
    worked by hand."""
    table = FlipTable(both_right=40, only_reference=4, only_variant=12, both_wrong=44)
    difference = paired_proportion_difference(table)
    centre, error = 8 / 102, np.sqrt(17 - 64 / 102) / 102
    assert difference.difference == pytest.approx(0.08)
    assert difference.interval == pytest.approx(
        (centre - 1.959964 * error, centre + 1.959964 * error), abs=1e-6
    )


def test_holm_adjusts_the_textbook_family() -> None:
    """Holm's step-down values, by hand, names and order kept."""
    adjusted = holm({"c": 0.04, "a": 0.01, "d": 0.03, "b": 0.005})
    assert list(adjusted) == ["c", "a", "d", "b"]
    assert adjusted == pytest.approx({"b": 0.02, "a": 0.03, "d": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_equivalence_matches_statsmodels() -> None:
    """The two one-sided tests equal statsmodels' ttost_paired, and the interval agrees with the
    decision."""
    for margin in (0.2, 0.3, 0.6):
        ours = equivalence_test(REFERENCE, VARIANT, margin)
        expected = ttost_paired(np.array(VARIANT), np.array(REFERENCE), -margin, margin)[0]
        assert ours.p_value == pytest.approx(expected)
        assert ours.interval is not None
        assert ours.equivalent == (max(map(abs, ours.interval)) < margin)


def test_smallest_detectable_difference_has_eighty_percent_power() -> None:
    """A true difference of that size is found in 80 % of tests, by statsmodels' exact power."""
    n, spread = 60, 0.4
    difference = smallest_detectable_difference(spread / np.sqrt(n), n - 1)
    assert TTestPower().power(difference / spread, n, 0.05) == pytest.approx(0.8, abs=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Nominal 95 % intervals of a mean, a share and a paired share cover between 93 % and 97 %."""
    generator = np.random.default_rng(0)
    hits = {"mean": 0, "share": 0, "paired share": 0}
    for _ in range(SIMULATIONS):
        mean = mean_estimate(generator.gamma(4.0, 1.0, 50).tolist()).interval
        share = proportion_estimate(int(generator.binomial(60, 0.3)), 60).interval
        cells = generator.multinomial(80, [0.4, 0.05, 0.15, 0.4])
        table = FlipTable(
            both_right=cells[0], only_reference=cells[1], only_variant=cells[2], both_wrong=cells[3]
        )
        paired = paired_proportion_difference(table).interval
        for name, interval, truth in (
            ("mean", mean, 4.0),
            ("share", share, 0.3),
            ("paired share", paired, 0.1),
        ):
            assert interval is not None
            hits[name] += interval[0] <= truth <= interval[1]
    assert all(0.93 <= count / SIMULATIONS <= 0.97 for count in hits.values()), hits


def test_clustered_intervals_cover_and_ignoring_clusters_does_not() -> None:
    """Over 20 correlated clusters of unequal size the robust and bootstrap intervals cover 93-97 %,
    plain ones less."""
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


def test_bootstrap_is_seeded_and_paired() -> None:
    """The same seed gives the same interval, another seed another, and the pairing is used."""
    first = bootstrap_difference(REFERENCE, VARIANT, seed=3)
    assert first == bootstrap_difference(REFERENCE, VARIANT, seed=3)
    assert first.interval != bootstrap_difference(REFERENCE, VARIANT, seed=4).interval
    assert first.interval == pytest.approx(paired_difference(REFERENCE, VARIANT).interval, abs=0.03)


def test_bootstrap_draws_whole_clusters() -> None:
    """Where clusters differ and items inside do not, the bootstrap error is that of the
    clusters."""
    values = np.repeat(np.arange(30.0), 5)
    estimate = bootstrap_mean(
        values.tolist(), np.repeat(np.arange(30), 5).tolist(), resamples=20_000
    )
    assert estimate.standard_error == pytest.approx(np.arange(30.0).std() / np.sqrt(30), rel=0.03)


def test_bootstrap_median_contains_the_median_and_widens_with_repeats_that_disagree() -> None:
    """A shift shared by one repeat shows in the interval, which a bootstrap over single values
    would miss."""
    noise = np.random.default_rng(2).normal(1.0, 0.01, (5, 20))
    calm, shaken = (
        bootstrap_median(noise),
        bootstrap_median(noise + np.linspace(-0.2, 0.2, 5)[:, None]),
    )
    assert calm.interval is not None and shaken.interval is not None
    assert calm.interval[0] <= calm.value <= calm.interval[1]
    assert shaken.interval[1] - shaken.interval[0] > 10 * (calm.interval[1] - calm.interval[0])


def test_noise_band_is_symmetric_and_holds_the_control() -> None:
    """The band of a control that is off to one side is as wide on the other."""
    assert noise_band((0.8, 0.9)) == pytest.approx((0.8, 1.25))
    assert noise_band((0.99, 1.25)) == pytest.approx((0.8, 1.25))
    assert noise_band((1.0, 1.0)) == (1.0, 1.0)


def test_verdicts_say_what_the_difference_shows() -> None:
    """Better, worse, undetectable with the size that would be found, and equal."""
    assert (
        verdict(
            paired_difference(
                REFERENCE, [value + noise for value, noise in zip(REFERENCE, VARIANT, strict=True)]
            )
        )
        == "better"
    )
    assert verdict(paired_difference(VARIANT, REFERENCE)) == "worse"
    unclear = paired_difference([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0])
    assert verdict(unclear).startswith(
        "no difference detectable at this n: smallest detectable difference "
    )
    assert verdict(paired_difference(REFERENCE, VARIANT), adjusted_p_value=0.2).startswith(
        "no difference detectable"
    )
    assert (
        verdict(paired_difference(REFERENCE, REFERENCE)) == "no difference: equal on all 40 items"
    )


def test_degenerate_data_are_defined() -> None:
    """One item has no spread, equal items no width, and nothing is ever NaN."""
    single = paired_difference([0.0], [1.0])
    assert (single.difference, single.standard_error, single.interval, single.p_value) == (
        1.0,
        None,
        None,
        None,
    )
    assert "no spread" in verdict(single)
    assert bootstrap_mean([1.0]).interval is None
    assert bootstrap_median(np.array([[1.0]])).interval is None
    assert mean_estimate([2.0, 2.0]).interval == (2.0, 2.0)
    assert paired_difference([0.0, 0.0], [0.0, 0.0]).p_value == 1.0
    assert paired_difference([0.0, 0.0], [1.0, 1.0]).p_value == 0.0
    assert proportion_estimate(0, 1).standard_error is None
    assert equivalence_test([1.0, 1.0], [1.0, 1.0], 0.1).equivalent
    assert not equivalence_test([1.0, 1.0], [1.2, 1.2], 0.1).equivalent
    assert not equivalence_test([1.0], [1.0], 0.1).equivalent
    unflipped = paired_proportion_difference(flip_table([True, False], [True, False]))
    assert unflipped.p_value == 1.0 and unflipped.interval is not None and unflipped.interval[1] > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_estimate([]),
        lambda: mean_estimate([1.0, float("nan")]),
        lambda: mean_estimate([1.0, 2.0], ["a"]),
        lambda: proportion_estimate(3, 2),
        lambda: paired_difference([1.0], [1.0, 2.0]),
        lambda: flip_table([True], []),
        lambda: paired_proportion_difference(flip_table([], [])),
        lambda: bootstrap_median(np.array([1.0])),
        lambda: equivalence_test([1.0], [1.0], 0.0),
    ],
)
def test_unusable_input_is_refused(call: object) -> None:
    """Empty, unpaired or not finite input raises the project's own error."""
    with pytest.raises(DataError):
        call()  # type: ignore[operator]
