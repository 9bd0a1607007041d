"""AlpacaEval: the win rate, the judge's mean preference for the variant over a reference."""

from collections.abc import Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.documents.judging_protocol import PreferenceProtocol
from lorabench.documents.protocol import AnswersProtocol
from lorabench.documents.score import Part
from lorabench.scoring.benchmark import ScoredBenchmark
from lorabench.scoring.estimates import mean, part, parts_by
from lorabench.scoring.item_rows import detail_text
from lorabench.scoring.protocols import answers_words, judge_words

# AlpacaEval's name for its 188 instructions from the OpenAssistant test set
OWN_TRAINING_SOURCE = "oasst"


def _protocol(made: PreferenceProtocol, answers: AnswersProtocol | None) -> str:
    against = (
        "the benchmark's reference outputs"
        if made["reference"] == "published"
        else "the base variant's answers"
    )
    orders = (
        "both orders averaged" if made["both_orders"] else "one order drawn for each instruction"
    )
    sentence = (
        f"AlpacaEval 2 pairwise preference on {made['questions']} instructions against {against},"
        f" {orders}; {judge_words(made)}"
    )
    if answers is None:
        return sentence
    return f"AlpacaEval instructions, {answers_words(answers)}, greedy; {sentence}"


def _breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Part]:
    """Return each of the sources that the instructions were collected from."""
    return parts_by(rows, lambda row: detail_text(row, "category", "?"), mean, confidence)


def _secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return the win rate without instructions from OpenAssistant data, if there are any."""
    others = [row for row in rows if detail_text(row, "category", "?") != OWN_TRAINING_SOURCE]
    if not others or len(others) == len(rows):
        return {}
    return {"without_oasst_instructions": part(mean(others, confidence))}


BENCHMARK = ScoredBenchmark(
    title="AlpacaEval",
    metric="win_rate",
    items=805,
    protocol=_protocol,
    average=mean,
    right_or_wrong=False,
    breakdown=_breakdown,
    breakdown_title="sources of the instructions",
    secondary=_secondary,
    part_titles={
        "without_oasst_instructions": (
            "without the instructions that come from OpenAssistant, as the training data does"
        ),
        "length_control": "length-controlled win rate",
    },
    length_control=True,
)
