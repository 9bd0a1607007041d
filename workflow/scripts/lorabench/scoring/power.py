"""What n units can show, by the very statistics of the report and the gate.

A normal approximation of the error is too hopeful where units are few: intervals of the report
leave room for what a sample has not seen. Here a population is assumed, and the report's own tests
decide what a sample of it shows: right answers and preferences are counted out exactly, ratings and
losses are simulated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, stats

from lorabench.scoring.benchmark import RATING, SHARE, scored_benchmark
from lorabench.scoring.comparison import UNSEEN
from lorabench.scoring.gate_quality import FEWEST_UNITS, units_to_see
from lorabench.scoring.held_out import unseen_change
from lorabench.scoring.settings import HELD_OUT
from lorabench.scoring.significance import FEWEST_UNITS as FEWEST_TESTED
from lorabench.scoring.significance import POWER, FlipTable, tango_score
from lorabench.scoring.unseen import least_shift, p_value
from lorabench.uncertainty import Floats

# Standard deviations of a difference: a question's mean rating in points; a conversation's loss in
# nat a token. Lengths are lognormal.
RATING_SPREAD, LOSS_SPREAD, LENGTH_SPREAD = 0.9, 0.1, 0.8
# samples of ratings and losses, each with its mirror image
PAIRS = 100
# of the report's two-sided tests at 5 %
TAIL = 0.025
# units, true gain, threshold, level of the one-sided test -> chance that the gain is shown
Chance = Callable[[int, float, float, float], float]


@dataclass(frozen=True, kw_only=True)
class Power:
    """What n units can show of a difference to the base."""

    units: int
    assumption: str
    # true gain that the report's test finds with 80 %; None where not even the largest is
    smallest_detectable: float | None
    # true gain that passes the gate with 80 %; None as above and where the gate asks for no gain
    passing_gain: float | None
    # chance that an equal adapter passes, and units for 80 %; None where the gate has no margin
    chance_of_equal: float | None
    units_for_margin: int | None


def power_of(name: str, units: int, threshold: float | None, alpha: float) -> Power:
    """Return what `units` items (MT-Bench: questions, held-out loss: conversations) can show.

    Args:
        name: a benchmark, or the held-out loss.
        units: independent ones.
        threshold: what the gate asks the gain to exceed, a margin below 0; None = nothing.
        alpha: level of the gate's test.
    """
    chance, assumption, largest = _model(name)
    equal = needed = passing = None
    if threshold is not None and threshold >= 0:
        passing = _gain(lambda gain: _passes(name, chance, units, gain, threshold, alpha), largest)
    elif threshold is not None:
        equal = _passes(name, chance, units, 0.0, threshold, alpha)
        needed = _units(lambda n: _passes(name, chance, n, 0.0, threshold, alpha))
    return Power(
        units=units,
        assumption=assumption,
        smallest_detectable=_gain(lambda gain: chance(units, gain, 0.0, TAIL), largest),
        passing_gain=passing,
        chance_of_equal=equal,
        units_for_margin=needed,
    )


def _model(name: str) -> tuple[Chance, str, float]:
    """Return how likely a gain is shown, what that assumes, and the largest gain to think of."""
    if name == HELD_OUT:
        words = f"a conversation's loss changes by {LOSS_SPREAD} nat a token (SD)"
        return _simulated(HELD_OUT), words, 8.0
    table = scored_benchmark(name)
    if table.right_or_wrong:
        words = f"{table.flips:.0%} of the items flip, or as many as the difference takes"
        return _flips(table.flips), words, 0.999
    if table.unit == RATING:
        words = f"a question's rating changes by {RATING_SPREAD} points (SD)"
        return _simulated(name), words, 9.0
    return _wins, "the judge is sure of each preference, 0 or 1", 0.499


def _passes(
    name: str, chance: Chance, units: int, gain: float, threshold: float, alpha: float
) -> float:
    """Return the chance that the gate passes a line of that many units."""
    unit = None if name == HELD_OUT else scored_benchmark(name).unit
    if units < max(FEWEST_UNITS, units_to_see(unit, threshold)):
        return 0.0
    return chance(units, gain, threshold, alpha)


def _gain(chance: Callable[[float], float], largest: float) -> float | None:
    """Return the gain that is shown with 80 %."""
    if chance(largest) < POWER:
        return None
    return float(optimize.brentq(lambda gain: chance(gain) - POWER, 0.0, largest, xtol=1e-4))


def _units(chance: Callable[[int], float]) -> int | None:
    """Return how many units give 80 %, as a multiple of about 3 %; None above a million."""
    high = FEWEST_UNITS
    while chance(high) < POWER:
        high *= 2
        if high > 1_000_000:
            return None
    low = high // 2
    while high - low > max(1, high // 32):
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= POWER else (middle, high)
    return high


def _flips(share: float) -> Chance:
    """Return the chance of right answers: lost and gained items as they may fall out, McNemar's and
    Tango's score test."""

    def chance(n: int, gain: float, threshold: float, tail: float) -> float:
        flipping = max(share, abs(gain))
        mean, spread = n * flipping, math.sqrt(n * flipping * (1 - flipping))
        flips = np.arange(
            max(0, math.floor(mean - 5 * spread)), min(n, math.ceil(mean + 5 * spread)) + 1
        )
        needed = np.array([_fewest_gained(n, int(count), threshold, tail) for count in flips])
        shown = stats.binom.sf(needed - 1, flips, (1 + gain / flipping) / 2)
        return float(stats.binom.pmf(flips, n, flipping) @ shown)

    return chance


@cache
def _fewest_gained(n: int, flips: int, threshold: float, tail: float) -> int:
    """Return how many of `flips` items must be gained to show a gain above the threshold; flips + 1
    where no number does."""
    quantile = float(stats.norm.ppf(1 - tail))

    def shown(gained: int) -> bool:
        table = FlipTable(
            both_right=n - flips,
            only_reference=flips - gained,
            only_variant=gained,
            both_wrong=0,
        )
        return tango_score(table, threshold) > quantile

    return _fewest(shown, flips)


def _wins(n: int, gain: float, threshold: float, tail: float) -> float:
    """Return the chance of a preference's gain over one half, each preference 0 or 1."""
    return float(stats.binom.sf(_fewest_won(n, threshold, tail) - 1, n, 0.5 + gain))


@cache
def _fewest_won(n: int, threshold: float, tail: float) -> int:
    """Return how many of n preferences must be won to show a gain above the threshold."""

    def shown(won: int) -> bool:
        lost = np.repeat([-0.5, 0.5], [won, n - won])
        return p_value(lost, np.ones(n), [(UNSEEN[SHARE], 1.0)], -threshold) < tail

    return _fewest(shown, n)


def _fewest(shown: Callable[[int], bool], most: int) -> int:
    """Return the smallest count for which something is shown, most + 1 where it never is."""
    low, high = 0, most + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle + 1, high)
    return low


def _simulated(name: str) -> Chance:
    """Return the chance of ratings or losses, from the gains that just show in drawn samples."""

    def chance(n: int, gain: float, threshold: float, tail: float) -> float:
        if n < FEWEST_TESTED:
            return 0.0
        least = _least_gains(name, n, threshold, tail)
        return float(stats.norm.cdf(gain, least.mean(), least.std()))

    return chance


@cache
def _least_gains(name: str, n: int, threshold: float, tail: float) -> Floats:
    """Return the true gain with which each drawn sample of n units just shows the threshold."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(PAIRS):
        sizes, noise = np.ones(n), draw.normal(0, RATING_SPREAD, n)
        if name == HELD_OUT:
            sizes = draw.lognormal(5, LENGTH_SPREAD, n)
            noise = draw.normal(0, LOSS_SPREAD, n)
        unseen = [
            (unseen_change(len(sizes)) if name == HELD_OUT else UNSEEN[RATING], float(sizes.mean()))
        ]
        found += [
            least_shift(sign * noise * sizes, sizes, unseen, -threshold, tail) for sign in (1, -1)
        ]
    return np.array(found)
