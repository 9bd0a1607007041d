"""AlpacaEval (arXiv 2404.04475): instructions of one turn, answered greedily."""

from pathlib import Path
from typing import Any

from lorabench.evaluation.benchmark import BenchmarkSettings, QuestionBenchmark
from lorabench.evaluation.questions import Question, read_questions
from lorabench.section import Count


class AlpacaEvalSettings(BenchmarkSettings):
    """AlpacaEval."""

    max_new_tokens: Count
    """Longest answer."""
    limit: Count | None
    """First n questions; null = all."""


def alpaca_eval_questions(data: Path) -> list[Question]:
    """Return the instructions of instructions.jsonl; the category is the data set they are from."""
    return read_questions(data / "instructions.jsonl", _question)


def _question(row: dict[str, Any]) -> Question:
    return Question(
        id=row["id"], category=row["dataset"], turns=[row["instruction"]], temperature=0.0
    )


BENCHMARK = QuestionBenchmark(settings=AlpacaEvalSettings, questions=alpaca_eval_questions)
