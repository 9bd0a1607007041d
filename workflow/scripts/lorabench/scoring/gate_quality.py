"""Lines of the release gate that need a statistic: benchmarks against the base, the held-out loss.

A line passes where the whole two-sided interval at 1 - 2 alpha is on the right side of its
threshold, fails where the whole interval is on the wrong side, and is not shown between: each is a
one-sided test at alpha. A margin m asks for a gain above -m (non-inferiority), an improvement d for
a gain above d.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorabench.documents.gate import GateLine, LineVerdict
from lorabench.documents.item_result import ItemResult
from lorabench.documents.train_metrics import ConversationLikelihood
from lorabench.scoring.benchmark import RATING, SHARE, ScoredBenchmark, scored_benchmark
from lorabench.scoring.comparison import clusters_of, difference_of
from lorabench.scoring.held_out import loss_change
from lorabench.scoring.item_rows import as_scores, pair_rows
from lorabench.uncertainty import Interval

# An interval of fewer independent units than this is not trusted to decide.
FEWEST_UNITS = 10
# Items without a score in one of two variants; above this share the rest may be a selection.
MOST_DROPPED = 0.05
# lowest score of a scale without right answers by chance, and what a unit can lose
FLOOR, SCALE = {SHARE: 0.0, RATING: 1.0}, {SHARE: 1.0, RATING: 9.0}
# A sample that expects three of something lacks it in 5 % of cases.
EXPECTED = 3


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a line asks for: its kind, whether it is required, and the threshold of the gain."""

    kind: str
    required: bool
    threshold: float


def judge_interval(interval: Interval, threshold: float) -> LineVerdict:
    """Return the verdict of a two-sided interval of a gain against the threshold it must exceed."""
    low, high = interval
    return "pass" if low > threshold else "fail" if high < threshold else "not_shown"


def units_to_see(unit: str | None, threshold: float) -> int:
    """Return how many units see, with 95 %, a loss of the margin that few units lose whole.

    With fewer a sample of units that did not change passes more often than it may. 0 where the
    threshold is no margin.
    """
    if unit not in SCALE or threshold >= 0:
        return 0
    return math.ceil(EXPECTED * SCALE[unit] / -threshold - 1e-9)


def units_to_settle(interval: Interval, threshold: float, units: int) -> int | None:
    """Return how many further units narrow the interval to the threshold if its centre stays.

    The half width h goes with one over the root of the units: from h to |centre - threshold| it
    takes (h / |centre - threshold|)^2 times as many. None where the centre is the threshold.
    """
    low, high = interval
    distance = abs((low + high) / 2 - threshold)
    if distance < 1e-12:
        return None
    return max(1, math.ceil(units * ((high - low) / 2 / distance) ** 2) - units)


def gate_interval(
    table: ScoredBenchmark, pairs: Sequence[tuple[ItemResult, ItemResult]], alpha: float
) -> tuple[float, Interval | None, int]:
    """Return the gain over the base, its interval at 1 - 2 alpha and the number of units.

    The interval is None where there are too few units for one.

    Args:
        table: of the benchmark, which decides the method.
        pairs: (base, variant) of every item that both have a score of.
    """
    before, after = as_scores([pair[0] for pair in pairs]), as_scores([pair[1] for pair in pairs])
    clusters, confidence = clusters_of(table, [pair[0] for pair in pairs]), 1 - 2 * alpha
    difference = difference_of(table, before, after, clusters, confidence)
    return difference.difference, difference.interval, difference.clusters


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What the score files of a benchmark say besides their rows."""

    # why a variant has no score
    reason: str | None = None
    carries_signal: bool = True


def benchmark_line(
    name: str,
    rule: Rule,
    score: Evaluated | None,
    rows: Mapping[str, Sequence[ItemResult]],
    variant: str,
    alpha: float,
) -> GateLine:
    """Return the line of one benchmark.

    Args:
        name: the benchmark.
        rule: what is asked for.
        score: None where the benchmark was not evaluated.
        rows: variant -> item rows, those that were scored.
        variant: the variant that would ship.
        alpha: level of the one-sided test.

    Raises:
        DataError: two variants saw different items.
    """
    table = scored_benchmark(name)
    blank = _blank(name, rule, table.unit)
    if score is None:
        return replace(blank, code="not_evaluated")
    if "base" not in rows or variant not in rows:
        return replace(blank, code="not_run", detail=(score.reason or "",))
    if not score.carries_signal:
        return replace(blank, code="judge_without_signal")
    pairs, dropped = pair_rows(rows["base"], rows[variant])
    if not pairs or dropped > MOST_DROPPED * (len(pairs) + dropped):
        total = len(pairs) + dropped
        return replace(blank, code="items_without_score", detail=(f"{dropped} of {total}",))
    base = sum(as_scores([pair[0] for pair in pairs])) / len(pairs)
    floor = FLOOR[table.unit] if table.chance is None else table.chance
    gain, interval, units = gate_interval(table, pairs, alpha)
    measured = replace(blank, estimate=gain, interval=interval, units=units)
    if base - floor <= -rule.threshold:
        # even a variant that lost every ability would lose less than the margin
        return replace(measured, code="base_near_floor")
    return settle(measured, interval, units)


def held_out_line(
    rule: Rule, conversations: Sequence[ConversationLikelihood] | None, alpha: float
) -> GateLine:
    """Return the line of the held-out loss; its gain is the loss's fall in nat an answer token."""
    blank = _blank("held_out_loss", rule, "nat")
    if not conversations:
        return replace(blank, code="no_losses_by_conversation")
    change = loss_change(conversations, 1 - 2 * alpha)
    gain = None if change.interval is None else (-change.interval[1], -change.interval[0])
    measured = replace(blank, estimate=-change.value, interval=gain, units=change.clusters)
    return settle(measured, gain, change.clusters)


def settle(line: GateLine, interval: Interval | None, units: int) -> GateLine:
    """Return the line with the verdict of its interval; few units never pass."""
    threshold = line.threshold if line.threshold is not None else 0.0
    verdict = judge_interval(interval, threshold) if interval else "not_shown"
    to_see = units_to_see(line.unit, threshold)
    fewest = max(FEWEST_UNITS, to_see if verdict == "pass" else 0)
    if interval is None or (units < fewest and verdict != "not_shown"):
        more = max(FEWEST_UNITS, to_see) - units
        return replace(line, verdict="not_shown", code="too_few_units", more_units=more)
    codes = {"pass": "shown", "fail": "shown_otherwise", "not_shown": "interval_crosses"}
    more_units = units_to_settle(interval, threshold, units) if verdict == "not_shown" else None
    if more_units is not None and sum(interval) / 2 > threshold:
        more_units = max(more_units, to_see - units)
    return replace(line, verdict=verdict, code=codes[verdict], more_units=more_units)


def _blank(name: str, rule: Rule, unit: str | None) -> GateLine:
    """Return a line that lacks its evidence."""
    return GateLine(
        name=name,
        kind="improvement" if rule.kind == "improvement" else "margin",
        required=rule.required,
        verdict="missing",
        code="not_evaluated",
        unit=unit,
        threshold=rule.threshold,
    )
