"""Averages of item rows with their uncertainty, and the parts of a score that are made of them."""

from collections.abc import Callable, Sequence

from lorabench.documents.item_result import ItemResult
from lorabench.documents.score import Part
from lorabench.errors import DataError
from lorabench.scoring.item_rows import as_scores
from lorabench.uncertainty import Estimate, bounded_mean_estimate, proportion_estimate

# the ends of the scales
SHARES, RATINGS = (0.0, 1.0), (1.0, 10.0)
# rows, confidence -> average
Average = Callable[[Sequence[ItemResult], float], Estimate]


def share(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the share of right answers with its mid-p interval.

    Raises:
        DataError: a score is neither 0 nor 1.
    """
    for row in rows:
        if row.score not in (0, 1):
            raise DataError(f"item {row.id}: score {row.score}, expected 0 or 1")
    return proportion_estimate(int(sum(as_scores(rows))), len(rows), confidence)


def mean(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the mean of scores from 0 to 1; its error is the sample's over the root of n."""
    return bounded_mean_estimate(as_scores(rows), SHARES, None, confidence)


def mean_by_cluster(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the mean over all rows of scores from 0 to 1; its error is that of whole clusters."""
    clusters = [row.cluster for row in rows]
    return bounded_mean_estimate(as_scores(rows), SHARES, clusters, confidence)


def mean_rating(rows: Sequence[ItemResult], confidence: float) -> Estimate:
    """Return the mean of ratings from 1 to 10, with the error of whole clusters."""
    clusters = [row.cluster for row in rows]
    return bounded_mean_estimate(as_scores(rows), RATINGS, clusters, confidence)


def part(estimate: Estimate) -> Part:
    """Return an average in the form of a score file."""
    interval = list(estimate.interval) if estimate.interval else None
    return {
        "score": estimate.value,
        "standard_error": estimate.standard_error,
        "interval": interval,
        "n": estimate.n,
    }


def parts_by(
    rows: Sequence[ItemResult],
    name: Callable[[ItemResult], str],
    average: Average,
    confidence: float,
) -> dict[str, Part]:
    """Return a part per name, in alphabetical order."""
    groups: dict[str, list[ItemResult]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return {key: part(average(groups[key], confidence)) for key in sorted(groups)}


def shares_of_flags(
    rows: Sequence[ItemResult], keys: Sequence[str], confidence: float
) -> dict[str, Part]:
    """Return the share of rows in which a detail is true, for each key that all rows have."""
    parts: dict[str, Part] = {}
    for key in keys:
        values = [row.detail[key] for row in rows if isinstance(row.detail.get(key), bool | int)]
        if len(values) == len(rows):
            parts[key] = part(proportion_estimate(sum(map(int, values)), len(values), confidence))
    return parts
