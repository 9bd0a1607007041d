"""MT-Bench (arXiv 2306.05685): questions of two turns, asked as FastChat asks them."""

from pathlib import Path
from typing import Any

from lorabench.evaluation.benchmark import BenchmarkSettings, QuestionBenchmark
from lorabench.evaluation.questions import Question, read_questions
from lorabench.section import Count

# FastChat, fastchat/llm_judge/common.py, temperature_config; 0 = greedy, other categories 0.7.
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
OTHER_TEMPERATURE = 0.7


class MtBenchSettings(BenchmarkSettings):
    """MT-Bench."""

    max_new_tokens: Count
    """Longest answer."""
    limit: Count | None
    """First n questions; null = all."""


def mt_bench_questions(data: Path) -> list[Question]:
    """Return the questions of question.jsonl, with FastChat's temperature of their category."""
    return read_questions(data / "question.jsonl", _question)


def _question(row: dict[str, Any]) -> Question:
    return Question(
        id=str(row["question_id"]),
        category=row["category"],
        turns=row["turns"],
        temperature=TEMPERATURES.get(row["category"], OTHER_TEMPERATURE),
    )


BENCHMARK = QuestionBenchmark(settings=MtBenchSettings, questions=mt_bench_questions)
