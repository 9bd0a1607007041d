"""MT-Bench: the judge's mean rating of all turns; a question's turns are one cluster."""

from collections.abc import Sequence

from lorabench.documents.item_result import ItemResult
from lorabench.documents.judging_protocol import RatingProtocol
from lorabench.documents.protocol import AnswersProtocol
from lorabench.documents.score import Part
from lorabench.scoring.benchmark import RATING, ScoredBenchmark
from lorabench.scoring.estimates import mean_rating, parts_by
from lorabench.scoring.item_rows import detail_text
from lorabench.scoring.protocols import answers_words, judge_words


def _protocol(made: RatingProtocol, answers: AnswersProtocol | None) -> str:
    judging = (
        f"MT-Bench single-answer grading (FastChat's prompts) of {made['questions']} questions,"
        f" {made['turns']} turns"
    )
    if made["corrected_references"]:
        judging += ", corrected reference answers"
    sentence = f"{judging}; {judge_words(made)}"
    if answers is None:
        return sentence
    return (
        f"MT-Bench questions, two turns, {answers_words(answers)}; FastChat's temperature for each"
        f" category (0 = greedy), top-k {answers['top_k']}, top-p {answers['top_p']}, seed"
        f" {answers['settings']['seed']} for each question; {sentence}"
    )


def _breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Part]:
    """Return turn 1, turn 2 and each category."""
    turns = parts_by(
        rows, lambda row: f"turn {detail_text(row, 'turn', '?')}", mean_rating, confidence
    )
    return turns | parts_by(
        rows, lambda row: detail_text(row, "category", "?"), mean_rating, confidence
    )


BENCHMARK = ScoredBenchmark(
    title="MT-Bench",
    metric="mean_judge_rating",
    # turns
    items=160,
    protocol=_protocol,
    unit=RATING,
    average=mean_rating,
    right_or_wrong=False,
    cluster="question",
    breakdown=_breakdown,
    breakdown_title="turns and categories",
    part_titles={"stem": "STEM"},
)
