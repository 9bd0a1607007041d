"""Statistics against closed forms, scipy and statsmodels, and simulated data with known answers."""

import itertools

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
from lorabench.scoring.unseen import upper_bound
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


def test_bounds_of_a_loss_that_happens_or_not_are_clopper_and_pearsons() -> None:
    """With the worst possible loss as the unseen one, for 0, 1 and 5 losses of 40."""
    for losses in (0, 1, 5):
        values = np.r_[np.ones(losses), np.zeros(40 - losses)]
        ours = upper_bound(values, np.ones(40), [(1.0, 1.0)], 0.025)
        exact = stats.binomtest(losses, 40).proportion_ci(0.95, "exact").high
        assert ours == pytest.approx(exact, rel=0.01)


def test_the_paired_difference_is_close_to_students_where_nothing_is_rare() -> None:
    """400 normal differences: p-value and interval are those of scipy's ttest_rel, a bit wider."""
    generator = np.random.default_rng(5)
    before, after = generator.normal(5, 1, 400), generator.normal(5.15, 1, 400)
    ours, theirs = paired_difference(list(before), list(after), 0.5), stats.ttest_rel(after, before)
    assert ours.difference == pytest.approx(np.mean(after - before))
    assert theirs.pvalue < (ours.p_value or 0) < 2 * theirs.pvalue
    low, high = theirs.confidence_interval()
    assert ours.interval is not None and ours.interval[0] < low < high < ours.interval[1]
    assert ours.interval[1] - ours.interval[0] < 1.1 * (high - low)


def test_mcnemar_matches_statsmodels() -> None:
    """Without continuity correction; 1 without discordant items."""
    for lost, gained in ((3, 9), (5, 5), (0, 6)):
        expected = mcnemar([[50, lost], [gained, 38]], exact=False, correction=False).pvalue
        table = FlipTable(both_right=50, only_reference=lost, only_variant=gained, both_wrong=38)
        assert paired_proportion_difference(table).p_value == pytest.approx(expected)
    unflipped = FlipTable(both_right=3, only_reference=0, only_variant=0, both_wrong=1)
    assert paired_proportion_difference(unflipped).p_value == 1.0


def test_the_interval_of_shares_is_tangos() -> None:
    """A search over all shares of a population gives the same statistic, and both bounds have the
    normal quantile as theirs."""
    table = FlipTable(both_right=1, only_reference=7, only_variant=1, both_wrong=12)
    low, high = paired_proportion_difference(table).interval or (0, 0)
    for delta in (low, -0.1, 0.1, high):
        lost = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 200_001)
        rest = 1 - 2 * lost - delta
        likelihood = 7 * np.log(lost) + np.log(lost + delta) + 13 * np.log(rest)
        most_likely = lost[np.argmax(likelihood)]
        error = np.sqrt(21 * (2 * most_likely + delta - delta**2))
        assert tango_score(table, delta) == pytest.approx((1 - 7 - 21 * delta) / error, abs=1e-3)
    assert (tango_score(table, low), tango_score(table, high)) == pytest.approx(
        (1.959964, -1.959964), abs=1e-5
    )


def test_interval_and_p_value_never_contradict_each_other() -> None:
    """All tables of 1 to 20 items and of 60: 0 is in the interval exactly where p is above 5 %."""
    for n in (*range(1, 21), 60):
        for lost, gained in itertools.product(range(n + 1), repeat=2):
            if lost + gained > n:
                continue
            table = FlipTable(
                both_right=n - lost - gained,
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


def test_equivalence_agrees_with_its_interval() -> None:
    """Equal within the margin exactly where the interval is within it, as statsmodels' two t tests
    say of 400 normal differences."""
    generator = np.random.default_rng(6)
    before, after = generator.normal(5, 1, 400), generator.normal(5.1, 1, 400)
    for margin in (0.15, 0.2, 0.3):
        ours = equivalence_test(list(before), list(after), margin, 0.5)
        assert ours.interval is not None
        assert ours.equivalent == (max(map(abs, ours.interval)) < margin)
        expected = ttost_paired(after, before, -margin, margin)[0]
        assert expected < (ours.p_value or 0) < 2.5 * expected


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
