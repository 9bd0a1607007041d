"""How closely merged and unmerged adapter agree item by item."""

from collections.abc import Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult


def greedy_agreement(
    one: Sequence[ItemResult], other: Sequence[ItemResult]
) -> dict[str, Any] | None:
    """Return how many greedy answers are the same text, None where rows carry no response."""
    texts = _paired(one, other, "response")
    if not texts:
        return None
    return {"identical": sum(a == b for a, b in texts), "n": len(texts)}


def largest_log_probability_difference(
    one: Sequence[ItemResult], other: Sequence[ItemResult]
) -> dict[str, Any] | None:
    """Return the largest and mean |difference| in nats over all choices, None without any."""
    pairs = _paired(one, other, "log_probabilities")
    differences = [abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)]
    if not differences:
        return None
    return {
        "largest": max(differences),
        "mean": sum(differences) / len(differences),
        "n": len(differences),
    }


def _paired(
    one: Sequence[ItemResult], other: Sequence[ItemResult], key: str
) -> list[tuple[Any, Any]]:
    second = {row.id: row.detail.get(key) for row in other}
    both = [(row.detail.get(key), second.get(row.id)) for row in one]
    return [(a, b) for a, b in both if a is not None and b is not None]
