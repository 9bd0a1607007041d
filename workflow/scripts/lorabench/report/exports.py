"""The JSON files of a published report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

from lorabench.documents.answer import Answer
from lorabench.documents.comparison import Comparison
from lorabench.documents.exports import (
    AnswerOutputs,
    EvalResults,
    ExportHead,
    ItemResults,
    JudgedAnswer,
    PerfResults,
    PerfVariant,
    VariantItems,
    VariantOutputs,
)
from lorabench.documents.item_result import ItemResult
from lorabench.documents.performance import Performance
from lorabench.documents.score import Score

# benchmark -> variant -> score file
Scores = Mapping[str, Mapping[str, Score]]
# variant -> item rows
Rows = Mapping[str, Sequence[ItemResult]]
# variant -> generated answers
Answers = Mapping[str, Sequence[Answer]]


def eval_results(head: ExportHead, scores: Scores, compare: Comparison) -> EvalResults:
    """Return all scores and comparisons, and the answers to the three questions."""
    return {
        **head,
        "scores": {name: dict(parts) for name, parts in scores.items()},
        "comparisons": {name: part["pairs"] for name, part in compare["benchmarks"].items()},
        "answers": compare["answers"],
    }


def item_results(head: ExportHead, benchmark: str, scores: Scores, rows: Rows) -> ItemResults:
    """Return the score and every item of each variant of one benchmark."""
    variants: dict[str, VariantItems] = {
        variant: {"score": score, "items": [asdict(row) for row in rows.get(variant, ())]}
        for variant, score in scores.get(benchmark, {}).items()
    }
    return {**head, "benchmark": benchmark, "variants": variants}


def answer_outputs(
    head: ExportHead, benchmark: str, scores: Scores, rows: Rows, answers: Answers
) -> AnswerOutputs:
    """Return the answers of each variant with the scores of their turns."""
    variants: dict[str, VariantOutputs] = {}
    for variant, score in scores.get(benchmark, {}).items():
        judged: dict[str, list[float | None]] = {}
        for row in rows.get(variant, ()):
            judged.setdefault(row.cluster, []).append(row.score)
        outputs = [
            asdict(JudgedAnswer(**vars(answer), scores=judged.get(answer.id, [])))
            for answer in answers.get(variant, ())
        ]
        variants[variant] = {"score": score, "outputs": outputs}
    return {**head, "benchmark": benchmark, "variants": variants}


def perf_results(
    head: ExportHead, perf: Mapping[str, Performance], compare: Comparison
) -> PerfResults:
    """Return the measurements of all variants and their ratios to the base."""
    return {
        **head,
        "status": "ok" if perf else "not_run",
        "reason": None if perf else "inference was not measured",
        "variants": dict(perf),
        "serving": compare["serving"],
    }


def perf_variant(head: ExportHead, variant: str, perf: Mapping[str, Performance]) -> PerfVariant:
    """Return the measurement of one variant."""
    if variant in perf:
        return cast(PerfVariant, {**perf[variant], **head})
    reason = f"{variant} was not measured"
    return {**head, "variant": variant, "status": "not_run", "reason": reason}
