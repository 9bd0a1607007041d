"""Score one benchmark of one variant from its item rows: score, standard error, interval,
breakdown.

Scores are shares (0 to 1) except MT-Bench's, a rating from 1 to 10. Items without a score (a judge
that failed) are counted in `failures` and enter no average.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.scoring.item_rows import as_scores, detail_text
from lorabench.scoring.mmlu_groups import group_of
from lorabench.uncertainty import Estimate, mean_estimate, proportion_estimate

METRICS = {
    "gsm8k": ("exact_match", "share"),
    "mmlu": ("accuracy", "share"),
    "mt_bench": ("mean_judge_rating", "rating 1-10"),
    "alpaca_eval": ("win_rate", "share"),
}
# share of right answers by guessing among four
CHANCE = {"mmlu": 0.25}
# AlpacaEval's name for its 188 instructions from the OpenAssistant test set
OWN_TRAINING_SOURCE = "oasst"


def score_items(benchmark: str, rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return the numeric part of a score file: score, standard_error, interval, n, failures,
    breakdown, secondary.

    Raises:
        DataError: unknown benchmark, or no row has a score.
    """
    if benchmark not in METRICS:
        raise DataError(f"benchmark {benchmark!r}: expected one of {', '.join(METRICS)}")
    scored = [row for row in rows if row.score is not None]
    failures = Counter(row.outcome for row in rows if row.score is None)
    if not scored:
        raise DataError(
            f"{benchmark}: none of {len(rows)} items has a score ({_counted(failures)})"
        )
    estimate = ESTIMATES[benchmark](scored, confidence)
    interval = list(estimate.interval) if estimate.interval else None
    chance = CHANCE.get(benchmark)
    return {
        "metric": METRICS[benchmark][0],
        "unit": METRICS[benchmark][1],
        "score": estimate.value,
        "standard_error": estimate.standard_error,
        "interval": interval,
        "confidence": confidence,
        "interval_method": estimate.method,
        "n": estimate.n,
        "items": len(rows),
        "failures": dict(sorted(failures.items())),
        "chance": chance,
        "above_chance": None if chance is None or interval is None else interval[0] > chance,
        "breakdown": BREAKDOWNS[benchmark](scored, confidence),
        "secondary": SECONDARIES[benchmark](scored, confidence),
    }


def why_no_score(
    rows: Sequence[ItemResult], not_run_reason: str | None, min_judged_share: float
) -> str | None:
    """Return why there is no score, None where there is: no rows, or a judge that failed on too
    many of them."""
    if not rows:
        return not_run_reason or "no rows were made for it"
    failures = Counter(row.outcome for row in rows if row.score is None)
    judged = len(rows) - failures.total()
    if judged == 0 or judged < min_judged_share * len(rows):
        return (
            f"{judged or 'none'} of {len(rows)} items {'have' if judged > 1 else 'has'} a score, at"
            f" least {min_judged_share:.0%} are needed (score_benchmark.min_judged_share):"
            f" {_counted(failures)}"
        )
    return None


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _share(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the share of right answers with its Wilson interval.

    Raises:
        DataError: a score is neither 0 nor 1.
    """
    for row in rows:
        if row.score not in (0, 1):
            raise DataError(f"item {row.id}: score {row.score}, expected 0 or 1")
    return proportion_estimate(int(sum(as_scores(rows))), len(rows), confidence)


def _mean(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the plain mean; its standard error is the sample's over the root of n, as alpaca_eval
    prints it."""
    return mean_estimate(as_scores(rows), None, confidence)


def _mean_by_question(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the mean over all turns; the two turns of a question are one cluster."""
    return mean_estimate(as_scores(rows), [row.cluster for row in rows], confidence)


def _part(estimate: Estimate) -> dict[str, Any]:
    interval = list(estimate.interval) if estimate.interval else None
    return {
        "score": estimate.value,
        "standard_error": estimate.standard_error,
        "interval": interval,
        "n": estimate.n,
    }


def _by(
    rows: Sequence[ItemResult],
    name: Callable[[ItemResult], str],
    estimate: Callable[[Sequence[ItemResult], float], Estimate],
    confidence: float,
) -> dict[str, Any]:
    """Return a part per name, in alphabetical order."""
    groups: dict[str, list[ItemResult]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return {key: _part(estimate(groups[key], confidence)) for key in sorted(groups)}


def _mmlu_breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return each subject with its group."""
    parts = _by(rows, lambda row: row.cluster, _share, confidence)
    return {subject: {**part, "group": group_of(subject)} for subject, part in parts.items()}


def _mmlu_secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return the four groups and both averages: micro over questions (the score), macro over
    subjects.

    The macro average's standard error takes the subjects as given: root of the sum of squared
    errors over their number.
    """
    subjects = _by(rows, lambda row: row.cluster, _share, confidence)
    errors = [part["standard_error"] for part in subjects.values()]
    known = all(error is not None for error in errors)
    macro = {
        "score": sum(part["score"] for part in subjects.values()) / len(subjects),
        "standard_error": (
            sum(error**2 for error in errors) ** 0.5 / len(subjects) if known else None
        ),
        "n": len(subjects),
    }
    return {
        "groups": _by(rows, lambda row: group_of(row.cluster), _share, confidence),
        "micro_average": _part(_share(rows, confidence)),
        "macro_average": macro,
        "clustered_by_subject": _part(_mean_by_question(rows, confidence)),
    }


def _gsm8k_secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return each extraction filter's exact match and the share of answers cut at the token limit,
    where recorded."""
    secondary: dict[str, Any] = {}
    for key in ("strict_match", "flexible_extract", "truncated"):
        values = [row.detail[key] for row in rows if isinstance(row.detail.get(key), bool | int)]
        if len(values) == len(rows):
            secondary[key] = _part(
                proportion_estimate(sum(map(int, values)), len(values), confidence)
            )
    return secondary


def _mt_bench_breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return turn 1, turn 2 and each category."""
    turns = _by(
        rows, lambda row: f"turn {detail_text(row, 'turn', '?')}", _mean_by_question, confidence
    )
    return turns | _by(
        rows, lambda row: detail_text(row, "category", "?"), _mean_by_question, confidence
    )


def _alpaca_breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return each of the sources that the instructions were collected from."""
    return _by(rows, lambda row: detail_text(row, "category", "?"), _mean, confidence)


def _alpaca_secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return the win rate without the instructions that come from the OpenAssistant data, where
    there are any."""
    others = [row for row in rows if detail_text(row, "category", "?") != OWN_TRAINING_SOURCE]
    if not others or len(others) == len(rows):
        return {}
    return {"without_oasst_instructions": _part(_mean(others, confidence))}


def _nothing(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    return {}


ESTIMATES = {"gsm8k": _share, "mmlu": _share, "mt_bench": _mean_by_question, "alpaca_eval": _mean}
BREAKDOWNS = {
    "gsm8k": _nothing,
    "mmlu": _mmlu_breakdown,
    "mt_bench": _mt_bench_breakdown,
    "alpaca_eval": _alpaca_breakdown,
}
SECONDARIES = {
    "gsm8k": _gsm8k_secondary,
    "mmlu": _mmlu_secondary,
    "mt_bench": _nothing,
    "alpaca_eval": _alpaca_secondary,
}
