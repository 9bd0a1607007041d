"""Questions of the benchmarks whose answers are judged: MT-Bench and AlpacaEval."""

from dataclasses import dataclass
from pathlib import Path

from lorabench.errors import DataError
from lorabench.files import read_jsonl

# FastChat, fastchat/llm_judge/common.py, temperature_config; 0 = greedy, other categories 0.7.
MT_BENCH_TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
MT_BENCH_OTHER_TEMPERATURE = 0.7


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of one or more user turns."""

    id: str
    category: str
    turns: list[str]
    # 0 = greedy
    temperature: float


def read_questions(benchmark: str, data: Path, limit: int | None) -> list[Question]:
    """Return the first `limit` questions of mt_bench or alpaca_eval (None = all) from the folder of
    its rows.

    Raises:
        DataError: a row lacks a field, or there is none.
    """
    read = _mt_bench_questions if benchmark == "mt_bench" else _alpaca_eval_questions
    questions = read(data)
    if not questions:
        raise DataError(f"{data}: no questions")
    return questions[:limit]


def _mt_bench_questions(data: Path) -> list[Question]:
    path = data / "question.jsonl"
    questions = []
    for number, row in read_jsonl(path):
        try:
            category, turns, identifier = row["category"], row["turns"], str(row["question_id"])
        except KeyError as error:
            raise DataError(f"{path}:{number}: field {error} is missing") from None
        temperature = MT_BENCH_TEMPERATURES.get(category, MT_BENCH_OTHER_TEMPERATURE)
        questions.append(
            Question(id=identifier, category=category, turns=turns, temperature=temperature)
        )
    return questions


def _alpaca_eval_questions(data: Path) -> list[Question]:
    path = data / "instructions.jsonl"
    questions = []
    for number, row in read_jsonl(path):
        try:
            identifier, category, instruction = row["id"], row["dataset"], row["instruction"]
        except KeyError as error:
            raise DataError(f"{path}:{number}: field {error} is missing") from None
        questions.append(
            Question(id=identifier, category=category, turns=[instruction], temperature=0.0)
        )
    return questions
