"""Whatever comes back with status 200 was paid for: it is booked, kept, and never a wrong score."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import (
    FakeJudge,
    Response,
    answer_row,
    anthropic_answer,
    error,
    judge_section,
    openai_answer,
)
from judging.jobs import Judged, prefer, rate
from lorabench.errors import JudgeError
from lorabench.judging import remote
from lorabench.judging.clients import Patience

PRICES = (2e-6, 8e-6)
HURRIED = Patience(first_backoff_seconds=0.001)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment between tries where a real run waits seconds."""
    monkeypatch.setattr(remote.RemoteJudge.__init__, "__defaults__", (HURRIED,))


def judge_turns(
    tmp_path: Path, folder: Path, judge: dict[str, Any], count: int = 6, share: float = 0.9
) -> Judged:
    """Rate both turns of `count` questions; return rows and protocol."""
    rows = [answer_row(n) for n in range(count)]
    return rate(tmp_path, folder, judge, rows, min_judged_share=share)


def bill(fake: FakeJudge) -> float:
    """Return what the provider's bill says."""
    return sum(read * PRICES[0] + made * PRICES[1] for read, made in fake.billed)


def odd_answer(**changes: Any) -> Response:
    """Return a completion whose document, rather than its choice, is changed."""
    response = openai_answer()
    response.document.update(changes)
    return response


def test_half_of_the_answers_without_log_probabilities(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """`logprob: null` in every other answer: each prompt is asked once, the letter counts there."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        value = None if number % 2 else -0.1
        top = [{"token": "m", "logprob": value}, {"token": "M", "logprob": -2.4}]
        return openai_answer("m", logprobs={"content": [{"token": "m", "top_logprobs": top}]})

    judge_server.respond = respond
    answers = [
        answer_row(n, id=f"alpaca-{n}", prompts=[f"Say {n}."], outputs=[f"answer {n}"])
        for n in range(12)
    ]
    rows, protocol = prefer(tmp_path, benchmark_folder, judge_section(judge_server), answers)
    assert len(judge_server.requests) == 12 and len(rows) == protocol["judged"] == 12
    assert protocol["usd"] == pytest.approx(bill(judge_server))
    assert protocol["preference_kinds"] == ["binary", "weighted"]
    assert (protocol["lost_requests"], protocol["lost_usd_at_most"]) == (0, 0)


ODD = {
    "lone surrogate": openai_answer("fine \ud800 Rating: [[7]]"),
    "surrogate in the model": openai_answer("Rating: [[7]]", model="judge\udfff"),
    "model is a number": odd_answer(model=5),
    "model is a list": odd_answer(model=["a"]),
    "no model": odd_answer(model=None),
    "usage of text": odd_answer(usage={"prompt_tokens": "100", "completion_tokens": "x"}),
    "negative usage": odd_answer(usage={"prompt_tokens": -(10**9), "completion_tokens": -5}),
    "usage without end": odd_answer(usage={"prompt_tokens": 1e400, "completion_tokens": 1}),
    "usage is not a number": odd_answer(usage={"prompt_tokens": float("nan")}),
    "absurd usage": odd_answer(usage={"prompt_tokens": 10**400, "completion_tokens": 10**30}),
    "usage of zero": odd_answer(usage={"prompt_tokens": 0, "completion_tokens": 0}),
    "usage is a list": odd_answer(usage=[1, 2]),
    "no usage": odd_answer(usage=None),
    "finish reason is a list": openai_answer(finish_reason=["stop"]),
    "log-probability is not a number": openai_answer(
        logprobs={"content": [{"top_logprobs": [{"token": "m", "logprob": float("nan")}]}]}
    ),
    "log-probabilities are text": openai_answer(logprobs="none"),
    "key in the text": openai_answer("sk-secret-openai Rating: [[7]]"),
}


@pytest.mark.parametrize("response", ODD.values(), ids=ODD)
def test_odd_answers_are_kept(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, response: Response
) -> None:
    """Judged at the first try, booked at a finite price above zero, and never asked again."""
    judge_server.respond = lambda number, body: response
    for _ in range(2):
        rows, protocol = judge_turns(tmp_path, benchmark_folder, judge_section(judge_server), 2)
        assert [row["score"] for row in rows] == [7.0] * 4
        assert len(judge_server.requests) == 4
        assert 0 < protocol["usd"] < 1
    for file in tmp_path.rglob("*.json*"):
        assert "secret" not in file.read_text(encoding="utf-8")


EMPTY = {
    "null content": openai_answer(message={"role": "assistant", "content": None}),
    "number as content": openai_answer(message={"content": 5}),
    "no choices": odd_answer(choices=[]),
    "choices missing": Response(document={"usage": {"prompt_tokens": 9, "completion_tokens": 1}}),
    "choices are text": odd_answer(choices="none"),
    "message is a list": openai_answer(message=[]),
    "empty text": openai_answer(""),
}


@pytest.mark.parametrize("response", EMPTY.values(), ids=EMPTY)
def test_empty_answers_are_asked_again_and_then_unparsed(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, response: Response
) -> None:
    """Three paid requests a turn, all booked, no score; the next call pays nothing."""
    judge_server.respond = lambda number, body: response
    for _ in range(2):
        rows, protocol = judge_turns(tmp_path, benchmark_folder, judge_section(judge_server), 2)
        assert {row["outcome"] for row in rows} == {"judge_unparsed"}
        assert len(judge_server.requests) == 4 * 3
        assert protocol["usd"] == pytest.approx(bill(judge_server))


@pytest.mark.parametrize("usage", [-(10**12), float("nan"), 0])
def test_no_usage_switches_the_limit_off(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, usage: float
) -> None:
    """What is reported wrongly costs the worst case, so the limit is reached."""
    judge_server.respond = lambda number, body: odd_answer(
        usage={"prompt_tokens": usage, "completion_tokens": usage}
    )
    judge = judge_section(
        judge_server,
        max_judge_usd=1.0,
        usd_per_million_input_tokens=0.0,
        usd_per_million_output_tokens=1e6 / 64 / 4,
    )
    with pytest.raises(JudgeError, match=r"max_judge_usd = 1\.00"):
        judge_turns(tmp_path, benchmark_folder, judge, 6)
    assert len(judge_server.requests) <= 4


def no_credit() -> Response:
    """Return Anthropic's answer of an empty account."""
    message = "Your credit balance is too low to access the Anthropic API."
    return error(400, message, type="invalid_request_error")


def test_credit_that_ends_midway(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """The job stops with one line; four answers are kept, the second call asks the rest."""
    judge_server.respond = lambda number, body: anthropic_answer() if number < 4 else no_credit()
    judge = judge_section(judge_server, kind="anthropic", concurrency=1)
    with pytest.raises(JudgeError, match=r"no credit left .* only the missing ones") as caught:
        judge_turns(tmp_path, benchmark_folder, judge)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "rows.jsonl").exists()
    assert len(judge_server.requests) == 5
    judge_server.respond = lambda number, body: anthropic_answer()
    rows, protocol = judge_turns(tmp_path, benchmark_folder, judge)
    assert [row["score"] for row in rows] == [7.0] * 12
    assert len(judge_server.requests) == 5 + 8
    assert protocol["usd"] == pytest.approx(bill(judge_server))


CREDIT = [
    error(429, "You exceeded your current quota.", code="insufficient_quota"),
    error(429, "You exceeded your current quota, please check your plan and billing details."),
    error(402, "Insufficient Balance"),
    error(402, "Payment Required"),
    error(400, "credit balance is too low", type="invalid_request_error"),
    error(400, "You have reached your specified API usage limits. You will regain access later."),
    error(403, "Your team has used all available credits or reached its monthly spending limit."),
    error(403, "Out of call volume quota. Quota will be replenished in 5.04:00:00."),
    error(429, "\u4f59\u989d\u4e0d\u8db3\u6216\u65e0\u53ef\u7528\u8d44\u6e90\u5305", code="1113"),
    error(400, "Budget has been exceeded! Current cost: 5.1", type="budget_exceeded"),
    error(412, "Account suspended, possibly due to failure to pay past invoices"),
    error(400, "Billing hard limit has been reached", code="billing_hard_limit_reached"),
    Response(document={"error": {"code": 402, "message": "Insufficient credits. Add more."}}),
]


@pytest.mark.parametrize("response", CREDIT)
def test_every_spelling_of_no_credit_stops(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, response: Response
) -> None:
    """One request and the words "no credit left", whichever provider says it."""
    judge_server.respond = lambda number, body: response
    with pytest.raises(JudgeError, match="no credit left"):
        judge_turns(tmp_path, benchmark_folder, judge_section(judge_server))
    assert len(judge_server.requests) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached. Please try again in 20s. Add a payment method to your account at"
        " https://platform.openai.com/account/billing.",
        "You exceeded your current quota, please check your plan and billing details. Quota"
        " exceeded for metric: requests, limit: 10. Please retry in 12.5s.",
        "Requests have exceeded call rate limit of your tier. Please retry after 6 seconds.",
    ],
)
def test_a_limit_a_minute_is_not_an_empty_account(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, message: str
) -> None:
    """Waiting cures it."""
    judge_server.respond = lambda number, body: (
        error(429, message) if number == 0 else openai_answer()
    )
    assert judge_turns(tmp_path, benchmark_folder, judge_section(judge_server), 2)[1]["judged"] == 4


def test_too_many_unjudged_items_fail_the_job(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """An unknown error: what was paid is kept, and the next call asks the rest."""
    judge_server.respond = lambda number, body: (
        openai_answer() if number < 4 else error(400, "wallet says no")
    )
    judge = judge_section(judge_server, concurrency=1)
    with pytest.raises(JudgeError, match=r"8 of 12 items got no judgment .*wallet says no.* 90%"):
        judge_turns(tmp_path, benchmark_folder, judge)
    assert not (tmp_path / "rows.jsonl").exists()
    judge_server.respond = lambda number, body: openai_answer()
    assert judge_turns(tmp_path, benchmark_folder, judge)[1]["judged"] == 12
    assert len(judge_server.requests) == 12 + 8
    judge_server.respond = lambda number, body: error(400, "wallet says no")
    protocol = judge_turns(tmp_path, benchmark_folder, judge, count=6 + 1, share=0.5)[1]
    assert (protocol["judged"], protocol["items"]) == (12, 14)
    assert protocol["failures"] == {"judge_failed": 2}


FAULTS: list[Callable[[Response], Response]] = [
    lambda good: error(429, "slow down"),
    lambda good: error(500, "boom"),
    lambda good: error(529, "Overloaded", type="overloaded_error"),
    lambda good: Response(document=good.document, cut=True),
    lambda good: Response(document=b"<html>garbage</html>"),
    lambda good: Response(document=b""),
    lambda good: Response(document=b'{"torn": ['),
    lambda good: Response(document=good.document | {"choices": [], "content": []}),
    lambda good: Response(document=good.document | {"choices": 7, "content": 7}),
    lambda good: Response(document=good.document, delay_seconds=0.4),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_judge_that_fails_three_times_in_ten(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, kind: str
) -> None:
    """All items are judged; the books agree with the provider's bill."""
    generator = random.Random(11)
    slow = 0

    def respond(number: int, body: dict[str, Any]) -> Response:
        nonlocal slow
        good = openai_answer() if kind == "openai" else anthropic_answer()
        if number == 0 or generator.random() > 0.3:
            return good
        response = generator.choice(FAULTS)(good)
        slow += response.delay_seconds > 0
        return response

    judge_server.respond = respond
    judge = judge_section(judge_server, kind=kind, timeout_seconds=0.3)
    rows, protocol = judge_turns(tmp_path, benchmark_folder, judge, count=40)
    assert protocol["judged"] == 80 and {row["score"] for row in rows} == {7.0}
    # a bill of an answer that came too late is not known here, only what it may have cost
    late = slow * (100 * PRICES[0] + 10 * PRICES[1])
    assert protocol["usd"] == pytest.approx(bill(judge_server) - late)
    assert protocol["lost_requests"] > slow > 0
    assert protocol["lost_usd_at_most"] > late
    asked = len(judge_server.requests)
    assert asked > 80
    again, protocol = judge_turns(tmp_path, benchmark_folder, judge, count=40)
    assert again == rows and len(judge_server.requests) == asked and protocol["calls"] == 0
