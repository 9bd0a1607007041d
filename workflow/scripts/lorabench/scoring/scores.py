"""Score one benchmark of one variant from its item rows.

Scores are shares (0 to 1) or ratings (1 to 10). Items without a score (a judge that failed) are
counted in `failures` and enter no average.
"""

from collections import Counter
from collections.abc import Sequence

from lorabench.documents.item_result import ItemResult
from lorabench.documents.score import ScoreFigures
from lorabench.errors import DataError
from lorabench.scoring.benchmark import ScoredBenchmark


def score_items(
    table: ScoredBenchmark, rows: Sequence[ItemResult], confidence: float
) -> ScoreFigures:
    """Return the numeric part of a score file.

    Raises:
        DataError: no row has a score.
    """
    scored = [row for row in rows if row.score is not None]
    failures = Counter(row.outcome for row in rows if row.score is None)
    if not scored:
        raise DataError(
            f"{table.title}: none of {len(rows)} items has a score ({_counted(failures)})"
        )
    estimate = table.average(scored, confidence)
    interval, chance = list(estimate.interval) if estimate.interval else None, table.chance
    return {
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
        "breakdown": table.breakdown(scored, confidence),
        "secondary": table.secondary(scored, confidence),
    }


def why_no_score(
    rows: Sequence[ItemResult], not_run_reason: str | None, min_judged_share: float
) -> str | None:
    """Return why there is no score: no rows, or too many failures of the judge."""
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


def missing_words(score: ScoreFigures) -> str:
    """Return the end of a protocol sentence: how many items have a score, if not all."""
    missing = sum(score["failures"].values())
    total = score["items"]
    return f"; {total - missing} of {total} items have a score" if missing else ""


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
