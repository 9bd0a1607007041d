"""How often does an interval hold the truth? Every interval that the report prints, by simulation.

    python benchmarks/interval_coverage.py --repeats 1000 --seed 0

Each row draws samples of a population whose mean is known and asks the pipeline's own functions for
their interval. Sizes are those of the demo and of the full benchmarks. A row's `not shown` counts
samples for which there is no interval; `low` and `high` are the shares of samples whose interval is
wholly below or above the truth. A few minutes on one core.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.scoring.comparison import IMAGINED
from lorabench.scoring.crossed_median import median_estimate
from lorabench.scoring.estimates import RATINGS, SHARES
from lorabench.scoring.held_out import loss_change
from lorabench.scoring.significance import (
    FlipTable,
    paired_difference,
    paired_proportion_difference,
)
from lorabench.uncertainty import (
    Interval,
    bounded_mean_estimate,
    proportion_estimate,
)

Draw = np.random.Generator
# items of the demo and of the full benchmark
GSM8K, MMLU, ALPACA_EVAL = (16, 1319), (60, 14042), (8, 16, 60, 200, 805)
# questions, conversations, (repeats, prompts)
MT_BENCH, HELD_OUT, SPEED = (8, 80), (6, 13, 49, 518), ((3, 5), (3, 20), (5, 20))
# share of right answers in one of two variants only, of the reference and of the variant
FLIPS = {"few flips": (0.02, 0.0), "equal": (0.06, 0.06), "better": (0.08, 0.14)}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One interval at one size and one population."""

    figure: str
    n: str
    population: str
    truth: float
    # a sample, confidence -> its interval
    interval: Callable[[Draw, float], Interval | None]


def shares() -> Iterator[Row]:
    """Shares of right answers."""
    for figure, sizes in (("GSM8K, MMLU score", (*GSM8K, *MMLU)),):
        for n in sizes:
            for share in (0.03, 0.3, 0.7):
                yield Row(
                    figure=figure,
                    n=str(n),
                    population=f"{share:.0%} right",
                    truth=share,
                    interval=lambda draw, level, n=n, share=share: share_interval(  # type: ignore[misc]
                        int(draw.binomial(n, share)), n, level
                    ),
                )


@functools.cache
def share_interval(successes: int, n: int, level: float) -> Interval | None:
    """Return the interval of a share."""
    return proportion_estimate(successes, n, level).interval


@functools.cache
def flip_interval(lost: int, gained: int, n: int, level: float) -> Interval | None:
    """Return the interval of a difference of paired shares."""
    both = n - lost - gained
    table = FlipTable(both_right=both, only_reference=lost, only_variant=gained, both_wrong=0)
    return paired_proportion_difference(table, level).interval


def flips() -> Iterator[Row]:
    """Differences of right answers on the same items."""
    for n in (*GSM8K, *MMLU):
        for name, (lost, gained) in FLIPS.items():

            def interval(
                draw: Draw, level: float, n: int = n, lost: float = lost, gained: float = gained
            ) -> Interval | None:
                cells = draw.multinomial(n, [lost, gained, 1 - lost - gained])
                return flip_interval(int(cells[0]), int(cells[1]), n, level)

            yield Row(
                figure="GSM8K, MMLU difference",
                n=str(n),
                population=name,
                truth=gained - lost,
                interval=interval,
            )


# name -> mean, n values
PREFERENCES: dict[str, tuple[float, Callable[[Draw, int], np.ndarray]]] = {
    "wins 3 %, 0 or 1": (0.03, lambda draw, n: (draw.random(n) < 0.03).astype(float)),
    "wins 10 %, 0 or 1": (0.1, lambda draw, n: (draw.random(n) < 0.1).astype(float)),
    "wins 3 %, near 0 or 1": (
        0.03 + 0.94 * 0.02,
        lambda draw, n: np.abs((draw.random(n) < 0.03) - draw.beta(1, 49, n)),
    ),
    "mean 10 %, skewed": (0.1, lambda draw, n: draw.beta(0.1, 0.9, n)),
    "mean 50 %, near 0 or 1": (0.5, lambda draw, n: draw.beta(0.2, 0.2, n)),
    "mean 50 %, unsure judge": (0.5, lambda draw, n: draw.beta(2, 2, n)),
}


def win_rates() -> Iterator[Row]:
    """Win rates and differences between two variants' preferences."""
    for n in ALPACA_EVAL:
        for name, (mean, make) in PREFERENCES.items():

            def one(
                draw: Draw,
                level: float,
                n: int = n,
                make: Callable[[Draw, int], np.ndarray] = make,
            ) -> Interval | None:
                return bounded_mean_estimate(
                    make(draw, n).tolist(), SHARES, confidence=level
                ).interval

            yield Row(
                figure="AlpacaEval win rate", n=str(n), population=name, truth=mean, interval=one
            )

            def two(
                draw: Draw,
                level: float,
                n: int = n,
                make: Callable[[Draw, int], np.ndarray] = make,
            ) -> Interval | None:
                variant = make(draw, n).tolist()
                return paired_difference(
                    [0.5] * n, variant, IMAGINED["share"], None, level
                ).interval

            yield Row(
                figure="AlpacaEval difference to 50 %",
                n=str(n),
                population=name,
                truth=mean - 0.5,
                interval=two,
            )


def question_ratings(draw: Draw, questions: int, skewed: bool) -> np.ndarray:
    """Return the ratings of two turns a question, [2 x questions], of mean 7.3 or 2.35."""
    if skewed:
        # most answers are worth nothing, some questions are answered well
        good = np.repeat(draw.random(questions) < 0.15, 2)
        return np.where(good, draw.integers(8, 11, 2 * questions), 1.0 + 0 * good)
    shift = np.repeat(draw.integers(-1, 2, questions), 2)
    return 7.3 + shift + draw.uniform(-1.7, 1.7, 2 * questions)


def rating_changes(draw: Draw, questions: int, rare: bool) -> np.ndarray:
    """Return the changes of the ratings of two turns a question, of mean 0.1 or -0.25."""
    if rare:
        return -5.0 * (draw.random(2 * questions) < 0.05)
    changes = np.repeat(draw.normal(0, 0.6, questions), 2)
    return changes + draw.normal(0.1, 1, 2 * questions)


def ratings() -> Iterator[Row]:
    """MT-Bench's mean rating and its difference."""
    for questions in MT_BENCH:
        clusters = [index // 2 for index in range(2 * questions)]
        for skewed in (False, True):

            def score(
                draw: Draw,
                level: float,
                questions: int = questions,
                skewed: bool = skewed,
                clusters: Sequence[int] = clusters,
            ) -> Interval | None:
                values = question_ratings(draw, questions, skewed).tolist()
                return bounded_mean_estimate(values, RATINGS, clusters, level).interval

            yield Row(
                figure="MT-Bench rating",
                n=f"{questions} x 2",
                population="mostly 1, 15 % 8 to 10" if skewed else "around 7.3",
                truth=1 + 0.15 * 8 if skewed else 7.3,
                interval=score,
            )

            def change(
                draw: Draw,
                level: float,
                questions: int = questions,
                skewed: bool = skewed,
                clusters: Sequence[int] = clusters,
            ) -> Interval | None:
                changes = rating_changes(draw, questions, skewed).tolist()
                size = IMAGINED["rating 1-10"]
                return paired_difference(
                    [0.0] * len(changes), changes, size, clusters, level
                ).interval

            yield Row(
                figure="MT-Bench difference",
                n=f"{questions} x 2",
                population="5 % of turns lose 5" if skewed else "normal",
                truth=-0.25 if skewed else 0.1,
                interval=change,
            )


def subjects() -> Iterator[Row]:
    """MMLU's accuracy for other subjects such as these, by cluster."""
    full = np.sort(np.random.default_rng(57).lognormal(0, 0.75, 57))[::-1]
    for sizes in (np.full(6, 10), np.maximum(100, (full / full.sum() * 12000).astype(int))):
        labels = np.repeat(np.arange(len(sizes)), sizes).tolist()

        def interval(
            draw: Draw,
            level: float,
            sizes: np.ndarray = sizes,
            labels: Sequence[int] = labels,
        ) -> Interval | None:
            skill = np.repeat(draw.beta(6, 4, len(sizes)), sizes)
            right = (draw.random(len(skill)) < skill).astype(float).tolist()
            return bounded_mean_estimate(right, SHARES, labels, level).interval

        yield Row(
            figure="MMLU by subject",
            n=f"{sizes.sum()} in {len(sizes)}",
            population="subjects of unequal skill",
            truth=0.6,
            interval=interval,
        )


# name -> mean, changes in nat a token of n conversations
CHANGES: dict[str, tuple[float, Callable[[Draw, int], np.ndarray]]] = {
    "normal": (-0.05, lambda draw, n: draw.normal(-0.05, 0.1, n)),
    "skewed": (0.0, lambda draw, n: draw.exponential(0.1, n) - 0.1),
    "5 % lose 0.38": (0.0, lambda draw, n: np.where(draw.random(n) < 0.05, 0.38, -0.02)),
}


def losses() -> Iterator[Row]:
    """The change of the held-out loss, conversations of skewed length."""
    for n in HELD_OUT:
        for name, (mean, make) in CHANGES.items():

            def interval(
                draw: Draw,
                level: float,
                n: int = n,
                make: Callable[[Draw, int], np.ndarray] = make,
            ) -> Interval | None:
                sizes = draw.lognormal(5, 0.8, n).astype(int) + 1
                rows = [
                    {"label_tokens": int(size), "base_nll_sum": 0.0, "adapter_nll_sum": by * size}
                    for size, by in zip(sizes, make(draw, n), strict=True)
                ]
                return loss_change(rows, level).interval

            yield Row(
                figure="held-out loss", n=str(n), population=name, truth=mean, interval=interval
            )


# standard deviations of a ratio's logarithm: of prompts, of repeats, of single values
NOISE = {
    "noise": (0.0, 0.0, 0.05),
    "prompts differ": (0.05, 0.0, 0.03),
    "repeats differ": (0.0, 0.05, 0.03),
    "both differ": (0.03, 0.03, 0.05),
}


def speeds() -> Iterator[Row]:
    """Median ratios of times over repeats and prompts."""
    for repeats, prompts in SPEED:
        for name, (by_prompt, by_repeat, single) in NOISE.items():

            def interval(
                draw: Draw,
                level: float,
                shape: tuple[int, int] = (repeats, prompts),
                spreads: tuple[float, float, float] = (by_prompt, by_repeat, single),
            ) -> Interval | None:
                logarithms = spreads[0] * draw.normal(size=(1, shape[1]))
                logarithms = logarithms + spreads[1] * draw.normal(size=(shape[0], 1))
                table = np.exp(logarithms + spreads[2] * draw.normal(size=shape))
                return median_estimate(table, level).interval

            yield Row(
                figure="speed ratio",
                n=f"{repeats} x {prompts}",
                population=name,
                truth=1.0,
                interval=interval,
            )


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
