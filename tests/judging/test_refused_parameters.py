"""Parameters that a provider refuses, and the question before any expensive work that finds them out."""

import asyncio
from typing import Any

import pytest

from judging.fake_judge import FakeJudge, Response, anthropic_answer, ask_client, error, judge_settings, openai_answer
from lorabench.errors import JudgeError
from lorabench.judging.clients import JudgeClient
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.preflight import check_judge

REFUSALS = {
    "temperature": error(
        400,
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.",
        param="temperature",
        code="unsupported_value",
    ),
    "max_tokens": error(
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        param="max_tokens",
        code="unsupported_parameter",
    ),
    "logprobs": error(403, "You are not allowed to request logprobs from this model."),
}


def test_refused_parameters_are_dropped_once_and_recorded(judge_server: FakeJudge) -> None:
    """A reasoning model refuses three parameters: three extra requests in all, none for later questions."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        return next((answer for name, answer in REFUSALS.items() if name in body), openai_answer())

    judge_server.respond = respond
    parameters = {"temperature": 0.0, "max_tokens": 64, "logprobs": True, "top_logprobs": 5}
    replies = ask_client(judge_server, parameters, count=3)
    assert len(judge_server.requests) == 3 + 3
    for reply in replies:
        assert reply.sent == {"max_completion_tokens": 64}
        assert reply.dropped == ("temperature", "max_tokens", "logprobs", "top_logprobs")


def test_refused_parameters_of_concurrent_requests_do_not_add_up(judge_server: FakeJudge) -> None:
    """Requests that were on their way when the refusal came are sent again, not failed."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        answer = REFUSALS["max_tokens"] if "max_tokens" in body else openai_answer()
        return Response(answer.status, answer.document, delay_seconds=0.05)

    judge_server.respond = respond
    request = JudgeRequest(item="x", messages=[], parameters={"max_tokens": 1})

    async def run() -> list[Reply]:
        async with JudgeClient(judge_settings(judge_server), 0.01) as client:
            return await asyncio.gather(*(client.complete(request) for _ in range(4)))

    assert [reply.outcome for reply in asyncio.run(run())] == ["answered"] * 4
    assert len(judge_server.requests) == 8


def test_claude_without_temperature(judge_server: FakeJudge) -> None:
    """Anthropic's wording of a refused temperature is understood."""
    refused = error(400, "`temperature` is deprecated for this model.", type="invalid_request_error")
    judge_server.respond = lambda number, body: refused if "temperature" in body else anthropic_answer()
    reply = ask_client(judge_server, kind="anthropic")[0]
    assert (reply.sent, reply.dropped) == ({"max_tokens": 64}, ("temperature",))


def test_preflight_returns_what_the_judge_takes(judge_server: FakeJudge) -> None:
    """One tiny question tells the returned model id and the refused parameters."""
    judge_server.respond = lambda number, body: REFUSALS["logprobs"] if "logprobs" in body else openai_answer("m")
    found = check_judge(judge_settings(judge_server), log_probabilities=True)
    assert found == {
        "model_requested": "judge",
        "model_returned": "judge-2026-01-01",
        "sent": {"max_tokens": 16, "temperature": 0},
        "dropped": ["logprobs", "top_logprobs"],
    }


def test_preflight_names_a_retired_model(judge_server: FakeJudge) -> None:
    """Before any expensive work the reason is shown."""
    judge_server.respond = lambda number, body: error(404, "The model `judge` has been deprecated")
    with pytest.raises(JudgeError, match="has been deprecated"):
        check_judge(judge_settings(judge_server), log_probabilities=False)
