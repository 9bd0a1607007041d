"""The answer store: what is written is found again, whatever happened to the writer."""

from pathlib import Path

import pytest

from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.store import AnswerStore

IDENTITY = {"kind": "openai", "model": "judge", "base_url": None}
REQUEST = JudgeRequest(
    item="81-1", messages=[{"role": "user", "content": "Rate."}], parameters={"max_tokens": 5}
)
REPLY = Reply(
    outcome="answered",
    text="é [[7]]\u2028",
    model="m",
    usd=0.25,
    dropped=("temperature",),
    sent={"max_tokens": 5},
)


def test_answer_survives_the_process(tmp_path: Path) -> None:
    """A reopened store returns the answer as it was, marked as cached."""
    key = REQUEST.key(IDENTITY)
    with AnswerStore(tmp_path, "a") as store:
        store.put(key, IDENTITY, REQUEST, REPLY)
    with AnswerStore(tmp_path, "b") as store:
        assert key in store
        found = store.answer(key)
        assert found.cached
        assert (found.text, found.dropped, found.sent) == (REPLY.text, REPLY.dropped, REPLY.sent)
        assert store.spent_usd() == 0.25


def test_other_jobs_answers_are_seen_while_open(tmp_path: Path) -> None:
    """Two jobs share a folder; the money of both counts."""
    with AnswerStore(tmp_path, "a") as first, AnswerStore(tmp_path, "b") as second:
        first.put("k1", IDENTITY, REQUEST, REPLY)
        second.put("k2", IDENTITY, REQUEST, REPLY)
        assert first.spent_usd() == second.spent_usd() == 0.5
        assert "k2" in first and "k1" in second


@pytest.mark.parametrize("kept", [0.2, 0.9, 0.97])
def test_torn_last_line_costs_that_line_only(tmp_path: Path, kept: float) -> None:
    """Earlier answers are read, new ones go on a separate line."""
    with AnswerStore(tmp_path, "a") as store:
        store.put("k1", IDENTITY, REQUEST, REPLY)
        store.put("k2", IDENTITY, REQUEST, REPLY)
    path = tmp_path / "a.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + int((len(whole) - first) * kept)])
    with AnswerStore(tmp_path, "a") as store:
        assert "k1" in store and "k2" not in store
        store.put("k3", IDENTITY, REQUEST, REPLY)
    with AnswerStore(tmp_path, "b") as store:
        assert "k1" in store and "k3" in store
        assert store.spent_usd() == 0.5


def test_lost_requests_count_as_spent(tmp_path: Path) -> None:
    """What an unanswered request may have cost is in the folder's and the writer's sum."""
    with AnswerStore(tmp_path, "a") as first:
        first.put_lost(IDENTITY, REQUEST, 0.125, "cut")
    with AnswerStore(tmp_path, "a") as first, AnswerStore(tmp_path, "b") as second:
        second.put("k", IDENTITY, REQUEST, REPLY)
        assert first.spent_usd() == second.spent_usd() == 0.375
        assert (first.lost_requests, first.lost_usd) == (1, 0.125)
        assert (second.lost_requests, second.lost_usd) == (0, 0.0)


def test_another_run_takes_answers_and_pays_nothing(tmp_path: Path) -> None:
    """Paid answers and lost requests count for the run that made them only."""
    with AnswerStore(tmp_path, "one/mt_bench-base") as store:
        store.put("k", IDENTITY, REQUEST, REPLY)
        store.put_lost(IDENTITY, REQUEST, 0.125, "cut")
        assert not store.answer("k").other_run
    with AnswerStore(tmp_path, "two/mt_bench-base") as store:
        assert store.answer("k").other_run and store.answer("k").usd == 0.25
        assert store.spent_usd() == 0.0 and store.lost_requests == 0
        store.put("l", IDENTITY, REQUEST, REPLY)
        assert store.spent_usd() == 0.25
    with AnswerStore(tmp_path, "one/alpaca_eval-base") as store:
        assert "l" in store and store.spent_usd() == 0.375


def test_what_both_runs_paid_is_each_runs_own(tmp_path: Path) -> None:
    """Two runs that asked the same at once: each counts its own payment."""
    with AnswerStore(tmp_path, "b/job") as second, AnswerStore(tmp_path, "a/job") as first:
        first.put("k", IDENTITY, REQUEST, REPLY)
        second.put("k", IDENTITY, REQUEST, REPLY)
        assert not first.answer("k").other_run and not second.answer("k").other_run
        assert first.spent_usd() == second.spent_usd() == 0.25


@pytest.mark.parametrize("usd", ["NaN", "-5.0", "Infinity", '"1"', "null"])
def test_a_line_with_an_impossible_price_is_damaged(tmp_path: Path, usd: str) -> None:
    """It would switch the limit off; its question is asked again."""
    with AnswerStore(tmp_path, "a") as store:
        store.put("k", IDENTITY, REQUEST, REPLY)
    path = tmp_path / "a.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"usd": 0.25', f'"usd": {usd}'))
    with AnswerStore(tmp_path, "b") as store:
        assert "k" not in store and store.spent_usd() == 0.0


@pytest.mark.parametrize("change", ["model", "prompt", "parameters", "attempt"])
def test_key_covers_judge_prompt_and_parameters(change: str) -> None:
    """A change in any of them is another question."""
    identity = IDENTITY | ({"model": "other"} if change == "model" else {})
    other = JudgeRequest(
        item="another name",
        messages=[{"role": "user", "content": "Rate!" if change == "prompt" else "Rate."}],
        parameters={"max_tokens": 6 if change == "parameters" else 5},
        attempt=int(change == "attempt"),
    )
    assert other.key(identity) != REQUEST.key(IDENTITY)


def test_key_ignores_the_items_name() -> None:
    """Two items with one prompt are one question."""
    same = JudgeRequest(item="x", messages=REQUEST.messages, parameters=REQUEST.parameters)
    assert same.key(IDENTITY) == REQUEST.key(IDENTITY)
