"""A round of questions: concurrency, the store, the budget, and faults."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import QUICK, FakeJudge, Response, error, judge_settings, openai_answer
from lorabench.errors import JudgeError
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.remote import RemoteJudge
from lorabench.judging.store import AnswerStore


def questions(count: int, max_tokens: int = 10) -> list[JudgeRequest]:
    """Return different requests."""
    parameters = {"max_tokens": max_tokens}
    return [
        JudgeRequest(
            item=str(n), messages=[{"role": "user", "content": f"Rate {n}."}], parameters=parameters
        )
        for n in range(count)
    ]


def ask(fake: FakeJudge, store: Path, requests: list[JudgeRequest], **changes: Any) -> list[Reply]:
    """Return the judge's replies through a freshly opened store."""
    with AnswerStore(store, "writer") as answers:
        return RemoteJudge(judge_settings(fake, **changes), answers, QUICK).ask(requests)


def echo(number: int, body: dict[str, Any], tokens: tuple[int, int] = (100, 10)) -> Response:
    """Answer with the question itself, after a moment."""
    return openai_answer(body["messages"][-1]["content"], tokens=tokens, delay_seconds=0.03)


def test_replies_come_in_the_order_of_the_requests(judge_server: FakeJudge, tmp_path: Path) -> None:
    """At most `concurrency` requests are in flight, and the first goes before the others."""
    judge_server.respond = echo
    replies = ask(judge_server, tmp_path, questions(17), concurrency=3)
    assert [reply.text for reply in replies] == [f"Rate {n}." for n in range(17)]
    assert judge_server.most_at_once == 3
    assert judge_server.times[1] - judge_server.times[0] >= 0.03


def test_nothing_is_asked_twice(judge_server: FakeJudge, tmp_path: Path) -> None:
    """Equal prompts are one request; a second run sends none."""
    judge_server.respond = echo
    requests = [*questions(3), *questions(3)]
    first = ask(judge_server, tmp_path, requests)
    assert len(judge_server.requests) == 3
    assert [reply.cached for reply in first] == [False] * 3 + [True] * 3
    assert sum(reply.usd for reply in first) == pytest.approx(3 * (100 * 2 + 10 * 8) / 1e6)
    second = ask(judge_server, tmp_path, requests)
    assert len(judge_server.requests) == 3
    assert all(reply.cached for reply in second)
    assert [reply.text for reply in second] == [reply.text for reply in first]


def test_another_judge_is_asked_anew(judge_server: FakeJudge, tmp_path: Path) -> None:
    """The store never returns one judge's verdict for another's."""
    ask(judge_server, tmp_path, questions(2))
    ask(judge_server, tmp_path, questions(2), model="other")
    assert len(judge_server.requests) == 4


def test_fault_in_the_middle_keeps_what_arrived(judge_server: FakeJudge, tmp_path: Path) -> None:
    """A key withdrawn midway ends the run; the next run asks only the rest."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        return echo(number, body) if number < 9 else error(401, "key revoked")

    judge_server.respond = respond
    with pytest.raises(JudgeError, match="key revoked"):
        ask(judge_server, tmp_path, questions(20))
    seen = len(judge_server.requests)
    assert seen <= 9 + 4  # those in flight
    judge_server.respond = echo
    replies = ask(judge_server, tmp_path, questions(20))
    assert len(judge_server.requests) == seen + 11
    assert [reply.text for reply in replies] == [f"Rate {n}." for n in range(20)]


def test_few_unanswered_requests_are_failures(judge_server: FakeJudge, tmp_path: Path) -> None:
    """A question that always meets a 500 fails with its reason; the next run asks it again."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        fails = "Rate 5." in body["messages"][-1]["content"]
        return error(500, "boom") if fails else echo(number, body)

    judge_server.respond = respond
    replies = ask(judge_server, tmp_path, questions(20))
    assert [reply.outcome for reply in replies].count("failed") == 1
    assert replies[5].reason == "no answer: HTTP 500: boom"
    judge_server.respond = echo
    before = len(judge_server.requests)
    assert ask(judge_server, tmp_path, questions(20))[5].text == "Rate 5."
    assert len(judge_server.requests) == before + 1


def test_outage_stops_the_round(judge_server: FakeJudge, tmp_path: Path) -> None:
    """When the server is down the job ends with the reason instead of trying every item."""
    judge_server.respond = lambda number, body: (
        echo(number, body) if number < 5 else error(503, "maintenance")
    )
    with pytest.raises(
        JudgeError, match=r"of 60 requests got no answer \(the last: HTTP 503: maintenance"
    ):
        ask(judge_server, tmp_path, questions(60))
    assert len(judge_server.requests) < 5 + 8 * 10


def test_judge_that_fails_everything_is_an_error(judge_server: FakeJudge, tmp_path: Path) -> None:
    """A fault of every single request is the judge's, not the items'."""
    judge_server.respond = lambda number, body: error(400, "unknown field n")
    with pytest.raises(JudgeError, match=r"all 3 requests failed, .* HTTP 400: unknown field n"):
        ask(judge_server, tmp_path, questions(3))


def test_budget_is_never_exceeded(judge_server: FakeJudge, tmp_path: Path) -> None:
    """The run stops within the limit; a higher limit goes on from there."""
    judge_server.respond = partial(echo, tokens=(5, 10))
    # 1 USD an answer
    prices = {"usd_per_million_input_tokens": 0.0, "usd_per_million_output_tokens": 1e6 / 10}
    with pytest.raises(JudgeError, match=r"20 calls are estimated at 20\.00 USD"):
        ask(judge_server, tmp_path, questions(20), max_judge_usd=7.5, **prices)
    assert judge_server.requests == []
    with pytest.raises(JudgeError, match=r"more than judge\.max_judge_usd = 7\.50"):
        ask(judge_server, tmp_path, questions(7), max_judge_usd=7.5, **prices)
        ask(judge_server, tmp_path, questions(8), max_judge_usd=7.5, **prices)
    assert len(judge_server.requests) == 7
    ask(judge_server, tmp_path, questions(8), max_judge_usd=8.0, **prices)
    assert len(judge_server.requests) == 8


def test_budget_stops_a_running_round(judge_server: FakeJudge, tmp_path: Path) -> None:
    """A judge that reports far more tokens than estimated is stopped after the first call."""
    judge_server.respond = partial(echo, tokens=(1_000_000, 0))
    with pytest.raises(JudgeError, match="stopped before exceeding"):
        ask(judge_server, tmp_path, questions(50), max_judge_usd=3.0, concurrency=2)
    assert len(judge_server.requests) == 1


def test_limit_holds_with_many_requests_in_flight(judge_server: FakeJudge, tmp_path: Path) -> None:
    """Answers of 1 USD, estimated at 0.4: nine fit into 9.5, the others into 20.5."""
    judge_server.respond = partial(echo, tokens=(0, 1000))
    prices = {"usd_per_million_input_tokens": 0.0, "usd_per_million_output_tokens": 1000.0}
    changes: dict[str, Any] = {"concurrency": 8, **prices}
    with pytest.raises(JudgeError, match=r"before exceeding .* = 9\.50 \(9\.00 USD spent\)"):
        ask(judge_server, tmp_path, questions(20, 1000), max_judge_usd=9.5, **changes)
    assert len(judge_server.requests) == 9
    assert judge_server.most_at_once > 1
    replies = ask(judge_server, tmp_path, questions(20, 1000), max_judge_usd=20.5, **changes)
    assert len(judge_server.requests) == 20
    assert sum(reply.usd for reply in replies) == pytest.approx(20)
