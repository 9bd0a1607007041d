"""The JSON files of a published report: scores, items and answers of every benchmark, inference
measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lorabench.documents.answer import Answer
from lorabench.documents.item_result import ItemResult

# benchmark -> variant -> score file
Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]
# variant -> item rows
Rows = Mapping[str, Sequence[ItemResult]]
# variant -> generated answers
Answers = Mapping[str, Sequence[Answer]]


def eval_results(
    head: Mapping[str, Any], scores: Scores, compare: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all score files, the comparisons between variants and the answers to the three
    questions."""
    comparisons = {name: part["pairs"] for name, part in compare["benchmarks"].items()}
    return {
        **head,
        "scores": _plain(scores),
        "comparisons": comparisons,
        "answers": compare["answers"],
    }


def item_results(
    head: Mapping[str, Any], benchmark: str, scores: Scores, rows: Rows
) -> dict[str, Any]:
    """Return the score and every item of each variant of one benchmark."""
    variants = {
        variant: {"score": dict(score), "items": [asdict(row) for row in rows.get(variant, ())]}
        for variant, score in scores.get(benchmark, {}).items()
    }
    return {**head, "benchmark": benchmark, "variants": variants}


def answer_outputs(
    head: Mapping[str, Any], benchmark: str, scores: Scores, rows: Rows, answers: Answers
) -> dict[str, Any]:
    """Return the answers of each variant with the scores of their turns, None where the judge gave
    none."""
    variants = {}
    for variant, score in scores.get(benchmark, {}).items():
        judged: dict[str, list[float | None]] = {}
        for row in rows.get(variant, ()):
            judged.setdefault(row.cluster, []).append(row.score)
        outputs = [
            {**asdict(answer), "scores": judged.get(answer.id, [])}
            for answer in answers.get(variant, ())
        ]
        variants[variant] = {"score": dict(score), "outputs": outputs}
    return {**head, "benchmark": benchmark, "variants": variants}


def perf_results(
    head: Mapping[str, Any], perf: Mapping[str, Mapping[str, Any]], compare: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the measurements of all variants and their ratios to the base."""
    if not perf:
        return {
            **head,
            "status": "not_run",
            "reason": "inference was not measured",
            "variants": {},
            "serving": None,
        }
    variants = {variant: dict(document) for variant, document in perf.items()}
    return {
        **head,
        "status": "ok",
        "reason": None,
        "variants": variants,
        "serving": compare["serving"],
    }


def perf_variant(
    head: Mapping[str, Any], variant: str, perf: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the measurement of one variant."""
    if variant not in perf:
        return {
            **head,
            "variant": variant,
            "status": "not_run",
            "reason": f"{variant} was not measured",
        }
    return {"status": "ok", **perf[variant], **head}


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        name: {variant: dict(score) for variant, score in parts.items()}
        for name, parts in scores.items()
    }
