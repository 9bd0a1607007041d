"""Parameters that a provider refuses are left out from then on."""

import asyncio
from typing import Any

from judging.fake_judge import (
    QUICK,
    FakeJudge,
    Response,
    anthropic_answer,
    ask_client,
    error,
    judge_settings,
    openai_answer,
)
from lorabench.judging.clients import JudgeClient
from lorabench.judging.exchange import JudgeRequest, Reply

WORDS = {
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the"
    " default (1) is supported.",
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
}
REFUSALS = {name: error(400, text, param=name) for name, text in WORDS.items()}
REFUSALS["logprobs"] = error(403, "You are not allowed to request logprobs from this model.")


def test_refused_parameters_are_dropped_once_and_recorded(judge_server: FakeJudge) -> None:
    """A model refuses three parameters: three extra requests in all."""

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
        async with JudgeClient(judge_settings(judge_server), QUICK) as client:
            return await asyncio.gather(*(client.complete(request) for _ in range(4)))

    assert [reply.outcome for reply in asyncio.run(run())] == ["answered"] * 4
    assert len(judge_server.requests) == 8


def test_claude_without_temperature(judge_server: FakeJudge) -> None:
    """Anthropic's wording of a refused temperature is understood."""
    refused = error(
        400, "`temperature` is deprecated for this model.", type="invalid_request_error"
    )
    judge_server.respond = lambda number, body: (
        refused if "temperature" in body else anthropic_answer()
    )
    reply = ask_client(judge_server, kind="anthropic")[0]
    assert (reply.sent, reply.dropped) == ({"max_tokens": 64}, ("temperature",))
