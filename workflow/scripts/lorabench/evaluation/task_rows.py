"""Read the rows that tasks are made of, and turn the harness' samples into item rows."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.evaluation.benchmark import Answered, Rows, Sample
from lorabench.files import read_jsonl


def read_rows(path: Path, fields: Iterable[str]) -> Rows:
    """Return the rows of a JSON Lines file, which all have `fields`.

    Raises:
        DataError: a field is missing, or there is no row.
    """
    rows = []
    for number, row in read_jsonl(path):
        for field in fields:
            if field not in row:
                raise DataError(f"{path}:{number}: field {field!r} is missing")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def exact_match_rows(
    answered: Answered, score_filter: str, answer_of: Callable[[str], str] = str.strip
) -> list[ItemResult]:
    """Return a row for each answered item of tasks that generate and have the metric exact_match.

    Args:
        answered: the samples, one an item and filter.
        score_filter: the filter whose exact match is the score; the others are recorded.
        answer_of: a document's target -> the right answer as it is shown.
    """
    by_item: dict[tuple[str, int], dict[str, Sample]] = {}
    for task, samples in answered.samples.items():
        for sample in samples:
            by_item.setdefault((task, sample["doc_id"]), {})[sample["filter"]] = sample
    rows = []
    for item in answered.items:
        filtered = by_item.get((item.task, item.document))
        if filtered is None:
            continue
        one = next(iter(filtered.values()))
        detail: dict[str, Any] = {
            "response": one["resps"][0][0],
            "truncated": answered.truncated[one["arguments"][0][0]],
            "answer": answer_of(str(one["target"])),
        }
        for name, sample in filtered.items():
            key = name.replace("-", "_")
            detail[key] = bool(sample["exact_match"])
            detail[f"{key}_answer"] = sample["filtered_resps"][0]
        correct = bool(filtered[score_filter]["exact_match"])
        rows.append(item_row(item.index, one["doc"]["id"], None, correct, detail))
    return rows


def item_row(
    index: int, identifier: str, cluster: str | None, correct: bool, detail: dict[str, Any]
) -> ItemResult:
    """Return the row of an item that is right or wrong; without a cluster it is its own."""
    return ItemResult(
        index=index,
        id=identifier,
        cluster=cluster or identifier,
        score=float(correct),
        outcome="correct" if correct else "incorrect",
        detail=detail,
    )
