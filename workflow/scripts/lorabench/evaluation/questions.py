"""Questions of the benchmarks whose answers are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of one or more user turns."""

    id: str
    category: str
    turns: list[str]
    # 0 = greedy
    temperature: float


def first_questions(questions: Sequence[Question], limit: int | None, data: Path) -> list[Question]:
    """Return the first `limit` questions (None = all) of those in the folder `data`.

    Raises:
        DataError: there is no question.
    """
    if not questions:
        raise DataError(f"{data}: no questions")
    return list(questions[:limit])


def read_questions(path: Path, question: Callable[[dict[str, Any]], Question]) -> list[Question]:
    """Return the questions of a JSON Lines file; `question` makes one of a row.

    Raises:
        DataError: a row lacks a field.
    """
    questions = []
    for number, row in read_jsonl(path):
        try:
            questions.append(question(row))
        except KeyError as error:
            raise DataError(f"{path}:{number}: field {error} is missing") from None
    return questions
