"""GSM8K: the share of problems whose final number is right."""

from collections.abc import Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.documents.protocol import TaskProtocol
from lorabench.scoring.benchmark import ScoredBenchmark
from lorabench.scoring.estimates import shares_of_flags
from lorabench.scoring.protocols import engine_words, harness_words

PART_TITLES = {
    "strict_match": "exact match, strict filter",
    "flexible_extract": "exact match, flexible filter",
    "truncated": "answers cut at the token limit",
}


def _protocol(made: TaskProtocol, _: None) -> str:
    own, shots = made["settings"]["benchmark"], made["few_shot"]
    examples = (
        f"the first {shots} training questions"
        if made["task"] == "gsm8k"
        else f"{shots} fixed chain-of-thought examples"
    )
    task = (
        f"task {made['task']}, {shots}-shot ({examples}), greedy, at most {own['max_new_tokens']}"
        " new tokens"
    )
    measure = f"exact match of the number found by the {own['answer_filter']} filter"
    return f"{harness_words(made, task)}{engine_words(made)}; {measure}"


def _secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return each filter's exact match and the share of cut answers, where recorded."""
    return shares_of_flags(rows, tuple(PART_TITLES), confidence)


BENCHMARK = ScoredBenchmark(
    title="GSM8K",
    metric="exact_match",
    items=1319,
    protocol=_protocol,
    secondary=_secondary,
    part_titles=PART_TITLES,
)
