"""How often does an interval hold the truth? Every interval that the report prints, by simulation.

    python benchmarks/interval_coverage.py --repeats 1000 --seed 0

Each row draws samples of a population whose mean is known and asks the pipeline's own functions for
their interval. Sizes are those of the demo and of the full benchmarks. A row's `not shown` counts
samples for which there is no interval; `low` and `high` are the shares of samples whose interval is
wholly below or above the truth. A few minutes on one core.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.scoring.comparison import UNSEEN
from lorabench.scoring.crossed_median import median_estimate
from lorabench.scoring.estimates import RATINGS, SHARES
from lorabench.scoring.held_out import loss_change
from lorabench.scoring.significance import (
    FlipTable,
    paired_difference,
    paired_proportion_difference,
)
from lorabench.uncertainty import (
    Floats,
    Interval,
    bounded_mean_estimate,
    proportion_estimate,
)

Draw = np.random.Generator
Found = Interval | None
# a generator, n -> n values
Make = Callable[[Draw, int], Floats]
# items of the demo and of the full benchmark
GSM8K, MMLU, ALPACA_EVAL = (16, 1319), (60, 14042), (16, 60, 805)
# questions, conversations, (repeats, prompts)
MT_BENCH, HELD_OUT, SPEED = (8, 80), (13, 60, 518), ((3, 5), (3, 20), (5, 20))
# share of right answers in one of two variants only, of the reference and of the variant
FLIPS = {
    "few flips": (0.02, 0.0),
    "equal": (0.06, 0.06),
    "better": (0.08, 0.14),
    "most lost": (0.3, 0.01),
}


@dataclass(frozen=True)
class Row:
    """One interval at one size and one population."""

    figure: str
    n: str
    population: str
    truth: float
    # a sample, confidence -> its interval
    interval: Callable[[Draw, float], Found]


def shares() -> Iterator[Row]:
    """Shares of right answers."""
    for n, share in itertools.product((*GSM8K, *MMLU), (0.03, 0.3, 0.7)):

        def interval(draw: Draw, level: float, n: int = n, share: float = share) -> Found:
            return share_interval(int(draw.binomial(n, share)), n, level)

        yield Row("GSM8K, MMLU score", str(n), f"{share:.0%} right", share, interval)


@functools.cache
def share_interval(successes: int, n: int, level: float) -> Found:
    """Return the interval of a share."""
    return proportion_estimate(successes, n, level).interval


@functools.cache
def flip_interval(lost: int, gained: int, n: int, level: float) -> Found:
    """Return the interval of a difference of paired shares."""
    both = n - lost - gained
    table = FlipTable(both_right=both, only_reference=lost, only_variant=gained, both_wrong=0)
    return paired_proportion_difference(table, level).interval


def flips() -> Iterator[Row]:
    """Differences of right answers on the same items."""
    for n, (name, shares) in itertools.product((*GSM8K, *MMLU), FLIPS.items()):

        def interval(
            draw: Draw, level: float, n: int = n, shares: tuple[float, float] = shares
        ) -> Found:
            cells = draw.multinomial(n, [*shares, 1 - sum(shares)])
            return flip_interval(int(cells[0]), int(cells[1]), n, level)

        yield Row("GSM8K, MMLU difference", str(n), name, shares[1] - shares[0], interval)


# name -> mean, n values
PREFERENCES: dict[str, tuple[float, Make]] = {
    "wins 3 %, 0 or 1": (0.03, lambda draw, n: (draw.random(n) < 0.03).astype(float)),
    "wins 10 %, 0 or 1": (0.1, lambda draw, n: (draw.random(n) < 0.1).astype(float)),
    "wins 3 %, near 0 or 1": (
        0.03 + 0.94 * 0.02,
        lambda draw, n: np.abs((draw.random(n) < 0.03) - draw.beta(1, 49, n)),
    ),
    "mean 10 %, skewed": (0.1, lambda draw, n: draw.beta(0.1, 0.9, n)),
    "mean 50 %, near 0 or 1": (0.5, lambda draw, n: draw.beta(0.2, 0.2, n)),
    "mean 50 %, unsure judge": (0.5, lambda draw, n: draw.beta(2, 2, n)),
    "mean 38 %, near 0 or 1": (0.38, lambda draw, n: draw.beta(0.19, 0.31, n)),
    "mean 92 %, skewed": (0.92, lambda draw, n: draw.beta(0.92, 0.08, n)),
    "90 % ties, 3 % won, 7 % lost": (
        0.48,
        lambda draw, n: draw.choice([0.5, 1.0, 0.0], n, p=[0.9, 0.03, 0.07]),
    ),
}


def win_rates() -> Iterator[Row]:
    """Win rates, and the differences of preferences from a reference that ties with itself."""
    for n, (name, (mean, make)) in itertools.product(ALPACA_EVAL, PREFERENCES.items()):

        def rate(draw: Draw, level: float, n: int = n, make: Make = make) -> Found:
            return bounded_mean_estimate(make(draw, n).tolist(), SHARES, None, level).interval

        def change(draw: Draw, level: float, n: int = n, make: Make = make) -> Found:
            variant, size = make(draw, n).tolist(), UNSEEN["share"]
            return paired_difference([0.5] * n, variant, size, None, level).interval

        yield Row("AlpacaEval win rate", str(n), name, mean, rate)
        yield Row("AlpacaEval difference to 50 %", str(n), name, mean - 0.5, change)


def both(values: Floats) -> Floats:
    """Return each question's value for both of its turns."""
    return np.repeat(values, 2)


# name -> mean, ratings of both turns of n questions
QUESTION_RATINGS: dict[str, tuple[float, Make]] = {
    "around 7.3": (
        7.3,
        lambda draw, n: 7.3 + both(draw.integers(-1, 2, n)) + draw.uniform(-1.7, 1.7, 2 * n),
    ),
    # most answers are worth nothing, some questions are answered well
    "mostly 1, 15 % 8 to 10": (
        2.2,
        lambda draw, n: np.where(both(draw.random(n) < 0.15), draw.integers(8, 11, 2 * n), 1.0),
    ),
    "9 or 10": (9.8, lambda draw, n: 9.0 + (draw.random(2 * n) < 0.8)),
    "10, 4 % of the questions 1": (9.64, lambda draw, n: 10 - 9.0 * both(draw.random(n) < 0.04)),
    "always 10": (10.0, lambda draw, n: np.full(2 * n, 10.0)),
}
# name -> mean, changes of the ratings of both turns of n questions
RATING_CHANGES: dict[str, tuple[float, Make]] = {
    "normal": (
        0.1,
        lambda draw, n: both(draw.normal(0, 0.6, n)) + draw.normal(0.1, 1, 2 * n),
    ),
    "5 % of turns lose 5": (-0.25, lambda draw, n: -5.0 * (draw.random(2 * n) < 0.05)),
    "heavy tails": (0.0, lambda draw, n: np.clip(both(0.5 * draw.standard_t(2, n)), -9, 9)),
    "4 % of questions lose 7": (-0.28, lambda draw, n: -7.0 * both(draw.random(n) < 0.04)),
    "9 or 10, then 10 or 9": (
        0.1,
        lambda draw, n: (draw.random(2 * n) < 0.8) * 1.0 - (draw.random(2 * n) < 0.7),
    ),
    "no change": (0.0, lambda draw, n: np.zeros(2 * n)),
}


def ratings() -> Iterator[Row]:
    """MT-Bench's mean rating and its difference."""
    for n, (name, (mean, make)) in itertools.product(MT_BENCH, QUESTION_RATINGS.items()):

        def score(draw: Draw, level: float, n: int = n, make: Make = make) -> Found:
            values, clusters = make(draw, n).tolist(), both(np.arange(n)).tolist()
            return bounded_mean_estimate(values, RATINGS, clusters, level).interval

        yield Row("MT-Bench rating", f"{n} x 2", name, mean, score)
    for n, (name, (mean, make)) in itertools.product(MT_BENCH, RATING_CHANGES.items()):

        def change(draw: Draw, level: float, n: int = n, make: Make = make) -> Found:
            changes, clusters = make(draw, n).tolist(), both(np.arange(n)).tolist()
            size = UNSEEN["rating 1-10"]
            return paired_difference([0.0] * 2 * n, changes, size, clusters, level).interval

        yield Row("MT-Bench difference", f"{n} x 2", name, mean, change)


def subjects() -> Iterator[Row]:
    """MMLU's accuracy for other subjects such as these, by cluster."""
    full = np.sort(np.random.default_rng(57).lognormal(0, 0.75, 57))[::-1]
    for sizes in (np.full(6, 10), np.maximum(100, (full / full.sum() * 12000).astype(int))):
        labels = np.repeat(np.arange(len(sizes)), sizes).tolist()

        def interval(
            draw: Draw, level: float, sizes: Floats = sizes, labels: Sequence[int] = labels
        ) -> Found:
            skill = np.repeat(draw.beta(6, 4, len(sizes)), sizes)
            right = (draw.random(len(skill)) < skill).astype(float).tolist()
            return bounded_mean_estimate(right, SHARES, labels, level).interval

        words = f"{sizes.sum()} in {len(sizes)}"
        yield Row("MMLU by subject", words, "subjects of unequal skill", 0.6, interval)


# name -> mean, changes in nat a token of n conversations
CHANGES: dict[str, tuple[float, Make]] = {
    "normal": (-0.05, lambda draw, n: draw.normal(-0.05, 0.1, n)),
    "skewed": (0.0, lambda draw, n: draw.exponential(0.1, n) - 0.1),
    "5 % lose 0.38": (0.0, lambda draw, n: np.where(draw.random(n) < 0.05, 0.38, -0.02)),
    "1 % lose 2": (0.0, lambda draw, n: np.where(draw.random(n) < 0.01, 1.98, -0.02)),
    "0.5 % lose 5": (0.0, lambda draw, n: np.where(draw.random(n) < 0.005, 4.975, -0.025)),
    "heavy tails": (-0.05, lambda draw, n: 0.05 * draw.standard_t(2, n) - 0.05),
    "lognormal": (
        0.0,
        lambda draw, n: 0.01 * (draw.lognormal(0, 2, n) - np.exp(2)),
    ),
}


def losses() -> Iterator[Row]:
    """The change of the held-out loss, conversations of skewed length."""
    for n, (name, (mean, make)) in itertools.product(HELD_OUT, CHANGES.items()):

        def interval(draw: Draw, level: float, n: int = n, make: Make = make) -> Found:
            sizes = draw.lognormal(5, 0.8, n).astype(int) + 1
            rows = [
                {"label_tokens": int(size), "base_nll_sum": 0.0, "adapter_nll_sum": by * size}
                for size, by in zip(sizes, make(draw, n), strict=True)
            ]
            return loss_change(rows, level).interval

        yield Row("held-out loss", str(n), name, mean, interval)


# standard deviations of a ratio's logarithm: of prompts, of repeats, of single values
NOISE = {
    "noise": (0.0, 0.0, 0.05),
    "prompts differ": (0.05, 0.0, 0.03),
    "repeats differ": (0.0, 0.05, 0.03),
    "both differ": (0.03, 0.03, 0.05),
}


def speeds() -> Iterator[Row]:
    """Median ratios of times over repeats and prompts."""
    for shape, (name, spreads) in itertools.product(SPEED, NOISE.items()):

        def interval(
            draw: Draw,
            level: float,
            shape: tuple[int, int] = shape,
            spreads: tuple[float, float, float] = spreads,
        ) -> Found:
            logarithms = spreads[0] * draw.normal(size=(1, shape[1]))
            logarithms = logarithms + spreads[1] * draw.normal(size=(shape[0], 1))
            table = np.exp(logarithms + spreads[2] * draw.normal(size=shape))
            return median_estimate(table, level).interval

        yield Row("speed ratio", f"{shape[0]} x {shape[1]}", name, 1.0, interval)


def rows() -> list[Row]:
    """Return every row of the table."""
    parts = (shares, flips, win_rates, ratings, subjects, losses, speeds)
    return [row for part in parts for row in part()]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shares of the samples that have an interval, and the share that has none."""

    held: float
    low: float
    high: float
    none: float


def coverage(row: Row, level: float, repeats: int, seed: int) -> Coverage:
    """Return how often the interval at `level` holds the truth."""
    draw = np.random.default_rng([seed, sum(map(ord, f"{row.figure}{row.n}{row.population}"))])
    found = [row.interval(draw, level) for _ in range(repeats)]
    intervals = np.array([interval for interval in found if interval is not None])
    if not len(intervals):
        return Coverage(held=float("nan"), low=float("nan"), high=float("nan"), none=1.0)
    # rounding of an interval that ends at the truth
    low = float(np.mean(intervals[:, 1] < row.truth - 1e-12))
    high = float(np.mean(intervals[:, 0] > row.truth + 1e-12))
    return Coverage(held=1 - low - high, low=low, high=high, none=1 - len(intervals) / repeats)


def main() -> None:
    """Print a Markdown table: coverage of the report's 95 % and the gate's 90 % intervals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print("| interval | n | population | 95 % | too low / too high | 90 % | not shown |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in rows():
        wide = coverage(row, 0.95, chosen.repeats, chosen.seed)
        narrow = coverage(row, 0.9, chosen.repeats, chosen.seed)
        words = [
            row.figure,
            row.n,
            row.population,
            f"{100 * wide.held:.1f}",
            f"{100 * wide.low:.1f} / {100 * wide.high:.1f}",
            f"{100 * narrow.held:.1f}",
            f"{100 * wide.none:.0f}",
        ]
        print(f"| {' | '.join(words)} |", flush=True)


if __name__ == "__main__":
    main()
