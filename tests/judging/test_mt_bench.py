"""MT-Bench grading: prompts by turn, what the judge is sent, how it is read."""

import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import answer_row
from lorabench.documents.answer import Answer
from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.judging import wire
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.mt_bench import (
    REASK,
    expected_rating,
    read_prompts,
    read_references,
    turns_to_rate,
)
from lorabench.judging.reasks import ask_again

PARAMETERS = {"temperature": 0.0, "max_tokens": 2048}


def make_answer(**changes: Any) -> Answer:
    """Return an answer to a writing question."""
    return Answer(**answer_row(0, prompts=["Q1", "Q2"], outputs=["A1", "A2"]) | changes)


def test_prompt_follows_category_and_turn(benchmark_folder: Path) -> None:
    """Math is graded with references, turn 2 with the whole dialogue."""
    prompts = read_prompts(benchmark_folder / "judge_prompts.jsonl")
    references = read_references(benchmark_folder / "reference.jsonl")
    answers = [make_answer(), make_answer(id="101", category="math")]
    turns = list(turns_to_rate(answers, prompts, references, PARAMETERS))
    assert [(turn.id, turn.prompt_name) for turn in turns] == [
        ("81-1", "single-v1"),
        ("81-2", "single-v1-multi-turn"),
        ("101-1", "single-math-v1"),
        ("101-2", "single-math-v1-multi-turn"),
    ]
    shown = "four\neight\n### User:\nQ1\n### A:\nA1\n### User:\nQ2\n### A:\nA2"
    assert turns[3].request.messages == [
        {"role": "system", "content": "Judge with references."},
        {"role": "user", "content": shown},
    ]
    assert "eight" not in turns[2].request.messages[1]["content"]


def test_braces_in_answers_stay_text(benchmark_folder: Path) -> None:
    """An answer that contains {question} or single braces reaches the judge unchanged."""
    prompts = read_prompts(benchmark_folder / "judge_prompts.jsonl")
    answer = make_answer(outputs=["def f(): return {question} {", "}"])
    turns = list(turns_to_rate([answer], prompts, {}, PARAMETERS))
    assert "def f(): return {question} {" in turns[0].request.messages[1]["content"]


def test_missing_reference_is_named(benchmark_folder: Path) -> None:
    """A math question without a reference is an error that names it."""
    prompts = read_prompts(benchmark_folder / "judge_prompts.jsonl")
    with pytest.raises(DataError, match="question 105"):
        list(turns_to_rate([make_answer(id="105", category="math")], prompts, {}, PARAMETERS))


def test_reask_shows_the_judge_its_own_text() -> None:
    """The follow-up keeps the conversation and has its own place in the store."""
    request = JudgeRequest(item="81-1", messages=[{"role": "user", "content": "x"}], parameters={})
    again = ask_again(request, Reply(outcome="answered", text="It is fine."), REASK)
    assert [message["content"] for message in again.messages] == ["x", "It is fine.", REASK]
    empty = ask_again(request, Reply(outcome="answered", text=" "), REASK)
    assert empty.messages == request.messages
    assert empty.key({}) != request.key({})


def test_expected_rating_is_the_mean_over_ten_strings() -> None:
    """Equal probabilities give 5.5; the mass says how likely a rating was at all."""
    rating, mass = expected_rating({str(n): math.log(0.05) for n in range(1, 11)})
    assert rating == pytest.approx(5.5)
    assert mass == pytest.approx(0.5)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file."""
    return [row for _, row in read_jsonl(path)]


def fastchat_requests(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    questions: dict[int, Any],
    answers: dict[int, Any],
) -> dict[str, dict[str, Any]]:
    """Return item id -> the arguments of FastChat's call of gpt-4.

    The two client libraries are stand-ins that record the call: openai 0.x and anthropic are not
    needed to build it.
    """
    sent: list[dict[str, Any]] = []

    def create(**arguments: Any) -> dict[str, Any]:
        sent.append(arguments)
        return {"choices": [{"message": {"content": "Rating: [[5]]"}}]}

    openai: Any = types.ModuleType("openai")
    openai.ChatCompletion = types.SimpleNamespace(create=create)
    openai.error = types.SimpleNamespace(OpenAIError=RuntimeError)
    monkeypatch.setitem(sys.modules, "openai", openai)
    monkeypatch.setitem(sys.modules, "anthropic", types.ModuleType("anthropic"))
    common = pytest.importorskip(
        "fastchat.llm_judge.common", reason="needs fschat==0.2.36 (pip install --no-deps)"
    )
    prompts = common.load_judge_prompts(str(folder / "judge_prompts.jsonl"))
    references = {row["question_id"]: row for row in read_rows(folder / "reference_gpt-4.jsonl")}
    requests = {}
    for number, question in questions.items():
        guided = question["category"] in common.NEED_REF_CATS
        for turn in (1, 2):
            name = f"single-{'math-' if guided else ''}v1{'-multi-turn' if turn == 2 else ''}"
            judge = common.Judge("gpt-4", prompts[name], ref_based=guided, multi_turn=turn == 2)
            reference = references[number] if guided else None
            match = common.MatchSingle(
                question, "m", answers[number], judge, reference, multi_turn=turn == 2
            )
            common.play_a_match_single(match, "")
            requests[f"{number}-{turn}"] = sent[-1]
    return requests


def test_requests_equal_fastchats(monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    """For all 160 turns of real answers the call is the one that FastChat 0.2.36 makes."""
    folder = shared_data / "mt_bench"
    questions = {row["question_id"]: row for row in read_rows(folder / "question.jsonl")}
    given = read_rows(folder / "answers_Meta-Llama-3-8B-Instruct.jsonl")
    answers = {row["question_id"]: row for row in given}
    expected = fastchat_requests(monkeypatch, folder, questions, answers)
    guides = read_rows(folder / "reference_gpt-4.jsonl")
    references = {str(row["question_id"]): row["choices"][0]["turns"] for row in guides}
    ours = [
        make_answer(
            id=str(number),
            category=question["category"],
            prompts=question["turns"],
            outputs=answers[number]["choices"][0]["turns"],
        )
        for number, question in questions.items()
    ]
    prompts = read_prompts(folder / "judge_prompts.jsonl")
    turns = turns_to_rate(ours, prompts, references, PARAMETERS)
    actual = {}
    for turn in turns:
        sent = wire.sent_parameters("openai", turn.request, wire.Refusals())
        actual[turn.id] = wire.arguments("openai", "gpt-4", turn.request, sent)
    assert len(actual) == 160
    assert actual == expected
