"""MT-Bench single-answer grading as FastChat's llm_judge does it (arXiv 2306.05685; fschat 0.2.36).

Each turn of each question is rated from 1 to 10 by one request. Questions of the categories math,
reasoning and coding are graded against reference answers. For turn 1 the instruction is in the
user's text; for turn 2 it is the system prompt and the user's text is the whole dialogue, with the
model's own first answer.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.documents.answer import Answer
from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.judging.exchange import Judge, JudgeRequest, Reply, unjudged
from lorabench.judging.ratings import parse_rating
from lorabench.judging.reasks import ask_until_clear
from lorabench.judging.settings import JudgeSettings

REFERENCE_CATEGORIES = ("math", "reasoning", "coding")
# (needs a reference, turn) -> name in judge_prompts.jsonl
PROMPTS = {
    (False, 1): "single-v1",
    (True, 1): "single-math-v1",
    (False, 2): "single-v1-multi-turn",
    (True, 2): "single-math-v1-multi-turn",
}
RATINGS = [str(rating) for rating in range(1, 11)]
# where the local judge's answer begins
RATING_START = "Rating: [["
REASK = (
    'Give your rating now, strictly in this format and nothing else: "[[rating]]", for example:'
    ' "Rating: [[5]]".'
)


@dataclass(frozen=True)
class Turn:
    """One turn of one question, to be rated."""

    answer: Answer
    # 1 or 2
    number: int
    prompt_name: str
    request: JudgeRequest

    @property
    def id(self) -> str:
        """Return the item's id, e.g. "81-1"."""
        return f"{self.answer.id}-{self.number}"


def request_parameters(judge: JudgeSettings, max_tokens: int) -> dict[str, Any]:
    """Return what is sent with every prompt; a local judge generates nothing, it weighs choices."""
    if judge.kind == "local":
        return {"assistant_prefix": RATING_START, "choices": RATINGS}
    return {"temperature": judge.temperature, "max_tokens": max_tokens}


def read_prompts(path: Path) -> dict[str, dict[str, Any]]:
    """Return FastChat's judge prompts, which were checked when they were fetched, by name."""
    return {row["name"]: row for _, row in read_jsonl(path)}


def read_references(path: Path) -> dict[str, list[str]]:
    """Return question id -> reference answers, one a turn.

    Raises:
        DataError: a row has no question_id or no two turns of text.
    """
    references = {}
    for number, row in read_jsonl(path):
        turns: Any = row.get("turns")
        texts = isinstance(turns, list) and all(isinstance(turn, str) for turn in turns)
        if not texts or len(turns) != 2:
            raise DataError(
                f'{path}:{number}: expected {{"question_id": 104, "turns": ["first answer", "second'
                ' answer"]}'
            )
        references[str(row.get("question_id"))] = turns
    return references


def corrected_references(original: Mapping[str, list[str]], path: Path) -> dict[str, list[str]]:
    """Return the original references with those of the file at `path` in their place.

    Raises:
        DataError: the file answers a question that has no original reference, or a row is
            malformed.
    """
    corrected = read_references(path)
    if unknown := sorted(corrected.keys() - original.keys()):
        raise DataError(
            f"{path}: question_id {unknown[0]}: the benchmark has no reference answer to correct"
            " there"
        )
    return {**original, **corrected}


def turns_to_rate(
    answers: list[Answer],
    prompts: Mapping[str, Mapping[str, Any]],
    references: Mapping[str, list[str]],
    parameters: dict[str, Any],
) -> Iterator[Turn]:
    """Yield each turn with its request, in question order.

    Raises:
        DataError: a question that is graded against a reference has none.
    """
    for answer in answers:
        guided = answer.category in REFERENCE_CATEGORIES
        if guided and len(references.get(answer.id, [])) < len(answer.outputs):
            raise DataError(
                f"MT-Bench question {answer.id} ({answer.category}) needs a reference answer for"
                " each turn"
            )
        for number in range(1, len(answer.outputs) + 1):
            name, guides = PROMPTS[guided, number], references[answer.id] if guided else []
            messages = judge_messages(prompts[name], answer, number, guides)
            item = f"{answer.id}-{number}"
            request = JudgeRequest(item=item, messages=messages, parameters=parameters)
            yield Turn(answer, number, name, request)


def judge_messages(
    prompt: Mapping[str, Any], answer: Answer, number: int, references: list[str]
) -> list[dict[str, str]]:
    """Return the system and user message of one rating, filled in as FastChat does."""
    fields = {f"ref_answer_{turn}": text for turn, text in enumerate(references[:number], start=1)}
    if number == 1:
        fields |= {"question": answer.prompts[0], "answer": answer.outputs[0]}
    else:
        for turn in (1, 2):
            fields |= {
                f"question_{turn}": answer.prompts[turn - 1],
                f"answer_{turn}": answer.outputs[turn - 1],
            }
    try:
        text = prompt["prompt_template"].format(**fields)
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(
            f"judge prompt {prompt['name']!r}: cannot be filled in for question {answer.id}"
            f" ({error})"
        ) from None
    return [
        {"role": "system", "content": prompt["system_prompt"]},
        {"role": "user", "content": text},
    ]


def rate_turns(
    judge: Judge, turns: list[Turn], reasks: int
) -> tuple[list[ItemResult], list[Reply]]:
    """Return one row a turn and all answers of the judge.

    A judgment without a readable rating is asked for again up to `reasks` times, with what the
    judge wrote and a request for the bare rating; then the row is a failure `judge_unparsed`.
    """
    asked = ask_until_clear(
        judge,
        [turn.request for turn in turns],
        lambda reply: parse_rating(reply.text) is not None,
        reasks,
        REASK,
    )
    rows = [
        _row(index, turn, asked.replies[index], asked.tries[index], judge.kind)
        for index, turn in enumerate(turns)
    ]
    return rows, asked.everything


def expected_rating(log_probabilities: Mapping[str, float]) -> tuple[float, float]:
    """Return (expected rating, probability that the judge's next words are a rating at all)."""
    weights = {rating: math.exp(log_probabilities[rating]) for rating in RATINGS}
    mass = sum(weights.values())
    return sum(int(rating) * weight for rating, weight in weights.items()) / mass, mass


def _row(index: int, turn: Turn, reply: Reply, tries: int, kind: str) -> ItemResult:
    detail: dict[str, Any] = {
        "category": turn.answer.category,
        "turn": turn.number,
        "judge_prompt": turn.prompt_name,
        "judge_model": reply.model,
        "judgment": reply.text,
        "expected_score": kind == "local",
        "tries": tries,
    }
    score = None
    if reply.outcome == "answered" and kind == "local" and reply.log_probabilities:
        score, detail["rating_mass"] = expected_rating(reply.log_probabilities)
        detail["rating_probabilities"] = {
            k: math.exp(v) / detail["rating_mass"] for k, v in reply.log_probabilities.items()
        }
    elif reply.outcome == "answered":
        score = parse_rating(reply.text)
    else:
        detail["reason"] = reply.reason
    return ItemResult(
        index=index,
        id=turn.id,
        cluster=turn.answer.id,
        score=score,
        outcome=unjudged(reply) if score is None else "judged",
        detail=detail,
    )
