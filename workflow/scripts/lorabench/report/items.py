"""Items compared: what each variant answered, what came of it, which items changed.

The text of a question comes from the benchmark's own files (`question`, `turns` or `instruction`;
`choices`, `answer` and `reference_output` where they have them) or from the answers that were
judged. A benchmark whose files name them otherwise is shown by the ids of its items.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.documents.answer import Answer
from lorabench.documents.item_result import ItemResult
from lorabench.documents.report import ChangedGroup, ItemChanges
from lorabench.files import read_jsonl

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# a file of reference answers to the questions of another file
REFERENCE_FILE = "reference.jsonl"
# the group of items whose benchmark has no subjects or categories
NO_GROUP = "all items"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What one variant answered to an item."""

    text: str
    score: float | None
    outcome: str
    # the judge's words, empty where it gave none
    judgment: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One benchmark item with the answers of all variants."""

    id: str
    # MMLU subject, MT-Bench category, …
    group: str
    prompt: str
    reference: str
    answers: dict[str, Given]
    # score of the adapter less score of the base; None where one of them lacks a score
    change: float | None
    # change of the probability of the right choice, where choices were compared
    shift: float


def question_rows(folder: Path, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return id -> row of a benchmark's questions, reference answers under `reference`."""
    ids = set(wanted)
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for _, row in read_jsonl(path):
            name = str(row.get("id", row.get("question_id", "")))
            if name not in ids:
                continue
            if path.name == REFERENCE_FILE:
                row = {"reference": row.get("turns")}
            found[name] = {**found.get(name, {}), **row}
    return found


def compare_items(
    rows: Mapping[str, Sequence[ItemResult]],
    answers: Mapping[str, Sequence[Answer]],
    questions: Mapping[str, Mapping[str, Any]],
) -> list[Item]:
    """Return the items of one benchmark, those that lost most first.

    Args:
        answers: variant -> generated answers, empty for a benchmark without a judge.
        questions: id -> row of the benchmark's files.
    """
    by_id: dict[str, dict[str, ItemResult]] = {}
    for variant, results in rows.items():
        for row in results:
            by_id.setdefault(row.id, {})[variant] = row
    made = {variant: {one.id: one for one in generated} for variant, generated in answers.items()}
    items = [_item(found, made, questions) for found in by_id.values()]
    return sorted(
        items, key=lambda item: (math.inf if item.change is None else item.change, item.shift)
    )


def most_changed(items: Sequence[Item], count: int) -> list[Item]:
    """Return up to `count` changed items, losses first, gains in the other half."""
    lost = [item for item in items if item.change is not None and item.change < 0]
    gained = [item for item in reversed(items) if item.change is not None and item.change > 0]
    half = count // 2
    losses = lost[: max(half, count - len(gained))]
    return losses + gained[: count - len(losses)]


def changes_by_group(items: Sequence[Item]) -> list[ChangedGroup]:
    """Return a row a group: items compared, worse, better, mean change; the worst first."""
    groups: dict[str, list[float]] = {}
    for item in items:
        if item.change is not None:
            groups.setdefault(item.group, []).append(item.change)
    rows: list[ChangedGroup] = [
        {
            "group": group,
            "n": len(changes),
            "worse": sum(change < 0 for change in changes),
            "better": sum(change > 0 for change in changes),
            "mean_change": sum(changes) / len(changes),
        }
        for group, changes in groups.items()
    ]
    return sorted(rows, key=lambda row: (row["mean_change"], row["group"]))


def changes_of(items: Sequence[Item]) -> ItemChanges | None:
    """Return what report.json says of changed items, None where there are no pairs."""
    compared = [item.change for item in items if item.change is not None]
    if not compared:
        return None
    groups = changes_by_group(items)
    return {
        "variant": next(name for item in items if (name := changed_variant(item.answers))),
        "n": len(compared),
        "worse": sum(group["worse"] for group in groups),
        "better": sum(group["better"] for group in groups),
        "groups": groups,
    }


def changed_variant(variants: Iterable[str]) -> str | None:
    """Return the variant that items compare with the base: the adapter, else the merged model."""
    return next((name for name in ("lora", "merged") if name in set(variants)), None)


def _item(
    found: Mapping[str, ItemResult],
    made: Mapping[str, Mapping[str, Answer]],
    questions: Mapping[str, Mapping[str, Any]],
) -> Item:
    first = next(iter(found.values()))
    group = first.detail.get("subject") or first.detail.get("category")
    turn = int(first.detail.get("turn", 1)) - 1
    question = questions.get(first.id, questions.get(first.cluster, {}))
    asked = next(
        (made[name][first.cluster] for name in found if first.cluster in made.get(name, {})), None
    )
    other = changed_variant(found)
    before, after = found.get("base"), found.get(other or "")
    change = None
    if before and after and before.score is not None and after.score is not None:
        change = after.score - before.score
    return Item(
        id=first.id,
        group=str(group or NO_GROUP).replace("_", " "),
        prompt=asked.prompts[turn] if asked else _prompt(question),
        reference=_reference(question, turn),
        answers={
            name: _given(row, made.get(name, {}).get(row.cluster), turn)
            for name, row in found.items()
        },
        change=change,
        shift=_probability(after) - _probability(before),
    )


def _prompt(question: Mapping[str, Any]) -> str:
    text = str(question.get("question", question.get("instruction", "")))
    choices = question.get("choices") or ()
    return "\n".join([text, *(f"{LETTERS[n]}. {choice}" for n, choice in enumerate(choices))])


def _reference(question: Mapping[str, Any], turn: int) -> str:
    turns = question.get("reference") or ()
    if turn < len(turns):
        return str(turns[turn])
    right = question.get("answer", question.get("reference_output"))
    if isinstance(right, int) and question.get("choices"):
        return f"{LETTERS[right]}. {question['choices'][right]}"
    return "" if right is None else str(right)


def _given(row: ItemResult, answer: Answer | None, turn: int) -> Given:
    detail = row.detail
    text = str(detail.get("response", detail.get("predicted", "")))
    if answer is not None:
        text = answer.outputs[turn]
    if detail.get("log_probabilities"):
        text += f" (probability of the right choice {100 * _probability(row):.0f} %)"
    spoken = [str(detail.get("judgment") or "")]
    spoken += [str(order.get("judge_text") or "") for order in detail.get("orders") or ()]
    return Given(
        text=text,
        score=row.score,
        outcome=row.outcome,
        judgment="\n\n".join(part for part in spoken if part),
    )


def _probability(row: ItemResult | None) -> float:
    """Return the probability of the right choice among the choices, 0 where none were compared."""
    logs = (row.detail.get("log_probabilities") if row else None) or ()
    right = LETTERS.find(str(row.detail.get("answer", ""))) if row else -1
    if not 0 <= right < len(logs):
        return 0.0
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    return weights[right] / sum(weights)
