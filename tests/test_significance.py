"""Statistics against closed forms, scipy and statsmodels, and simulated data with known answers."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from lorabench.errors import DataError
from lorabench.scoring.crossed_median import median_estimate
from lorabench.scoring.significance import (
    FlipTable,
    bootstrap_difference,
    equivalence_test,
    flip_table,
    holm,
    paired_difference,
    paired_proportion_difference,
    smallest_detectable_difference,
    tango_score,
    verdict,
)
from lorabench.uncertainty import (
    bootstrap_mean,
    bounded_mean_estimate,
    mean_estimate,
    proportion_estimate,
)

GENERATOR = np.random.default_rng(7)
REFERENCE = GENERATOR.normal(5.0, 1.0, 40).tolist()
VARIANT = (np.array(REFERENCE) + GENERATOR.normal(0.2, 0.5, 40)).tolist()
SIMULATIONS = 4000


def test_paired_t_test_matches_scipy() -> None:
    """p-value and interval are ttest_rel's with two more pairs, one won and one lost."""
    ours = paired_difference(REFERENCE, VARIANT, 0.5)
    theirs = stats.ttest_rel([*VARIANT, 0.5, -0.5], [*REFERENCE, 0, 0])
    assert ours.difference == pytest.approx(np.mean(VARIANT) - np.mean(REFERENCE))
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.interval == pytest.approx(tuple(theirs.confidence_interval()))


def test_mcnemar_matches_statsmodels() -> None:
    """Without continuity correction; 1 without discordant items."""
    for lost, gained in ((3, 9), (5, 5), (0, 6)):
        expected = mcnemar([[50, lost], [gained, 38]], exact=False, correction=False).pvalue
        table = FlipTable(both_right=50, only_reference=lost, only_variant=gained, both_wrong=38)
        assert paired_proportion_difference(table).p_value == pytest.approx(expected)
    unflipped = FlipTable(both_right=3, only_reference=0, only_variant=0, both_wrong=1)
    assert paired_proportion_difference(unflipped).p_value == 1.0


def test_the_interval_of_shares_is_tangos() -> None:
    """Fagerland, Lydersen and Laake (2014, doi:10.1002/sim.6148), published example."""
    table = FlipTable(both_right=1, only_reference=7, only_variant=1, both_wrong=12)
    difference = paired_proportion_difference(table)
    assert difference.interval == pytest.approx((-0.517, -0.026), abs=5e-4)
    low, high = difference.interval or (0, 0)
    assert (tango_score(table, low), tango_score(table, high)) == pytest.approx(
        (1.959964, -1.959964), abs=1e-5
    )


def test_interval_and_p_value_never_contradict_each_other() -> None:
    """All tables of 16 items: 0 is in the interval exactly where p is above 5 %."""
    for lost in range(17):
        for gained in range(17 - lost):
            table = FlipTable(
                both_right=16 - lost - gained,
                only_reference=lost,
                only_variant=gained,
                both_wrong=0,
            )
            difference = paired_proportion_difference(table)
            low, high = difference.interval or (1, -1)
            assert -1 <= low <= difference.difference <= high <= 1
            assert (low <= 0 <= high) == ((difference.p_value or 0) > 0.05)
    generator = np.random.default_rng(4)
    for _ in range(200):
        changes = generator.normal(0.3, 0.5, 12).tolist()
        change = paired_difference([0.0] * 12, changes, 1.0)
        low, high = change.interval or (1, -1)
        assert (low <= 0 <= high) == ((change.p_value or 0) > 0.05)


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


def test_holm_adjusts_the_textbook_family() -> None:
    """Holm's step-down values, by hand, names and order kept."""
    adjusted = holm({"c": 0.04, "a": 0.01, "d": 0.03, "b": 0.005})
    assert list(adjusted) == ["c", "a", "d", "b"]
    assert adjusted == pytest.approx({"b": 0.02, "a": 0.03, "d": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_equivalence_matches_statsmodels() -> None:
    """ttost_paired gives the same tests, and the interval agrees with the decision."""
    for margin in (0.2, 0.3, 0.6):
        ours = equivalence_test(REFERENCE, VARIANT, margin, 0.5)
        reference, variant = np.array([*REFERENCE, 0, 0]), np.array([*VARIANT, 0.5, -0.5])
        expected = ttost_paired(variant, reference, -margin, margin)[0]
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


def test_bootstrap_is_seeded_and_paired() -> None:
    """The same seed gives the same interval, another seed another, and the pairing is used."""
    changes = [after - before for before, after in zip(REFERENCE, VARIANT, strict=True)]
    first = bootstrap_difference(REFERENCE, VARIANT, seed=3)
    assert first == bootstrap_difference(REFERENCE, VARIANT, seed=3)
    assert first.interval != bootstrap_difference(REFERENCE, VARIANT, seed=4).interval
    assert first.interval == pytest.approx(mean_estimate(changes).interval, abs=0.03)


def test_verdicts_say_what_the_difference_shows() -> None:
    """Better, worse, undetectable with the size that would be found, and not shown."""
    better = [value + 1 for value in VARIANT]
    assert verdict(paired_difference(REFERENCE, better, 1.0)) == "better"
    assert verdict(paired_difference(better, REFERENCE, 1.0)) == "worse"
    start = "no difference detectable at this n: smallest detectable difference "
    unclear = paired_difference([0.0, 1.0] * 4, [1.0, 0.0, 0.0, 1.0] * 2, 1.0)
    assert verdict(unclear).startswith(start)
    clear = paired_difference(REFERENCE, better, 1.0)
    assert verdict(clear, adjusted_p_value=0.2).startswith(start)
    assert verdict(paired_difference(REFERENCE, REFERENCE, 1.0)).startswith(start)
    assert verdict(paired_difference([5.0], [6.0], 1.0)).startswith("not shown: 1 independent unit")


def test_two_questions_show_nothing() -> None:
    """Ratings 5, 6 against 6, 7 of two questions: neither better nor equal within any margin."""
    before, after, questions = [5.0, 6, 5, 6], [6.0, 7, 6, 7], ["a", "a", "b", "b"]
    change = paired_difference(before, after, 3.0, questions)
    assert (change.difference, change.interval, change.p_value) == (1.0, None, None)
    assert verdict(change).startswith("not shown")
    for other in (before, after):
        equality = equivalence_test(before, other, 0.1, 3.0, questions)
        assert not equality.equivalent and equality.p_value is None


def test_equal_changes_keep_a_width_and_a_p_value_above_zero() -> None:
    """Without spread p falls with the number of units and is never 0."""
    p_values = []
    for n in (6, 10, 80):
        change = paired_difference([0.0] * n, [0.5] * n, 1.0)
        low, high = change.interval or (0, 0)
        assert low < 0.5 < high
        p_values.append(change.p_value or 0.0)
    assert 0 < p_values[2] < 1e-6 < p_values[1] < p_values[0] and p_values[0] > 2 / 2**6
    assert not equivalence_test([1.0] * 6, [1.0] * 6, 0.1, 1.0).equivalent
    assert equivalence_test([1.0] * 805, [1.0] * 805, 0.01, 1.0).equivalent
    assert bootstrap_difference([0.0] * 20, [1.0] * 20).interval is None
    assert bootstrap_difference([0.0] * 3, [1.0, 0.5, 0.2]).interval is None


def test_degenerate_data_are_defined() -> None:
    """One item has no spread, equal items no error, and nothing is ever NaN."""
    single = paired_difference([0.0], [1.0], 1.0)
    assert (single.difference, single.standard_error, single.interval, single.p_value) == (
        1.0,
        None,
        None,
        None,
    )
    assert bootstrap_mean([1.0]).interval is None
    assert median_estimate(np.array([[1.0]])).interval is None
    assert median_estimate(np.ones((3, 4))).interval == (1.0, 1.0)
    assert mean_estimate([2.0, 2.0]).interval == (2.0, 2.0)
    assert bounded_mean_estimate([0.2], (0, 1)).interval is None
    assert paired_difference([0.0] * 6, [0.0] * 6, 1.0).p_value == 1.0
    assert proportion_estimate(0, 1).standard_error is None
    unflipped = paired_proportion_difference(flip_table([True, False], [True, False]))
    assert unflipped.p_value == 1.0 and unflipped.interval is not None and unflipped.interval[1] > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_estimate([]),
        lambda: mean_estimate([1.0, float("nan")]),
        lambda: mean_estimate([1.0, 2.0], ["a"]),
        lambda: proportion_estimate(3, 2),
        lambda: paired_difference([1.0], [1.0, 2.0], 1.0),
        lambda: flip_table([True], []),
        lambda: paired_proportion_difference(flip_table([], [])),
        lambda: median_estimate(np.array([1.0])),
        lambda: median_estimate(np.array([[1.0, 0.0]])),
        lambda: bounded_mean_estimate([0.0, 1.5], (0, 1)),
        lambda: equivalence_test([1.0], [1.0], 0.0, 1.0),
    ],
)
def test_unusable_input_is_refused(call: object) -> None:
    """Empty, unpaired or not finite input raises the project's own error."""
    with pytest.raises(DataError):
        call()  # type: ignore[operator]
