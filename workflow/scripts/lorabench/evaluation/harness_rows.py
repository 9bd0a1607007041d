"""Turn the harness' samples into rows, and divide items into shards."""

from collections.abc import Iterable
from typing import Any

from lm_eval.api.task import ConfigurableTask

from lorabench.documents.item_result import ItemResult

CHOICES = "ABCD"
FILTERS = ("strict-match", "flexible-extract")

# a row of lm_eval's `samples`
Sample = dict[str, Any]


def shard_items(
    tasks: dict[str, ConfigurableTask], shard: int, shards: int
) -> dict[str, list[int]]:
    """Return task -> sorted document numbers of the items of one shard; tasks without any are left
    out.

    An item's index runs over the tasks in order; it belongs to the shard index % shards. The
    harness needs the numbers sorted (it labels documents by their position) and would take an empty
    list for the whole task.
    """
    items: dict[str, list[int]] = {}
    for name, document, index in _numbered(tasks):
        if index % shards == shard:
            items.setdefault(name, []).append(document)
    return items


def gsm8k_rows(
    tasks: dict[str, ConfigurableTask],
    samples: Iterable[Sample],
    truncated: dict[str, bool],
    answer_filter: str,
) -> list[ItemResult]:
    """Return a row for each answered GSM8K item.

    Args:
        tasks: all items, of whatever shard.
        samples: two for each item, one a filter.
        truncated: prompt -> whether its generation ended at the token limit.
        answer_filter: the filter whose exact match is the score.
    """
    by_item: dict[int, dict[str, Sample]] = {}
    for sample in samples:
        by_item.setdefault(sample["doc_id"], {})[sample["filter"]] = sample
    rows = []
    for _, document, index in _numbered(tasks):
        if document not in by_item:
            continue
        filtered = by_item[document]
        one = filtered[FILTERS[0]]
        detail: dict[str, Any] = {
            "response": one["resps"][0][0],
            "truncated": truncated[one["arguments"][0][0]],
            "answer": str(one["target"]).rsplit("####", 1)[-1].strip(),
        }
        for name in FILTERS:
            key = name.replace("-", "_")
            detail[key] = bool(filtered[name]["exact_match"])
            detail[f"{key}_answer"] = filtered[name]["filtered_resps"][0]
        rows.append(
            _row(
                index, one["doc"]["id"], None, bool(filtered[answer_filter]["exact_match"]), detail
            )
        )
    return rows


def mmlu_rows(
    tasks: dict[str, ConfigurableTask], samples: dict[str, list[Sample]]
) -> list[ItemResult]:
    """Return a row for each answered MMLU item; `samples` are those of each task, one an item."""
    by_item = {
        (name, sample["doc_id"]): sample for name, several in samples.items() for sample in several
    }
    rows = []
    for name, document, index in _numbered(tasks):
        if (name, document) not in by_item:
            continue
        sample = by_item[name, document]
        log_probabilities = [float(response[0][0]) for response in sample["resps"]]
        best, second = sorted(log_probabilities, reverse=True)[:2]
        detail = {
            "subject": sample["doc"]["subject"],
            "answer": CHOICES[sample["doc"]["answer"]],
            "predicted": CHOICES[log_probabilities.index(best)],
            "log_probabilities": (
                log_probabilities
                # natural, of " A" to " D" or of the choices' texts, in their order
            ),
            # nats
            "margin": best - second,
        }
        if (
            "acc_norm" in sample
            # where texts are scored: log-likelihoods over the texts' lengths in characters
        ):
            detail["acc_norm"] = bool(sample["acc_norm"])
        rows.append(
            _row(index, sample["doc"]["id"], sample["doc"]["subject"], bool(sample["acc"]), detail)
        )
    return rows


def _numbered(tasks: dict[str, ConfigurableTask]) -> list[tuple[str, int, int]]:
    """Return (task, document number, index over all tasks) of all items."""
    pairs = [
        (name, document) for name, task in tasks.items() for document in range(len(task.eval_docs))
    ]
    return [(name, document, index) for index, (name, document) in enumerate(pairs)]


def _row(
    index: int, identifier: str, cluster: str | None, correct: bool, detail: dict[str, Any]
) -> ItemResult:
    return ItemResult(
        index=index,
        id=identifier,
        cluster=cluster or identifier,
        score=float(correct),
        outcome="correct" if correct else "incorrect",
        detail=detail,
    )
