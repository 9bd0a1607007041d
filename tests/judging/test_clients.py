"""Remote judges over loopback: both interfaces, every kind of fault."""

import asyncio
import email.utils
import time

import httpx2
import pytest

from judging.fake_judge import (
    QUESTION,
    QUICK,
    FakeJudge,
    Response,
    anthropic_answer,
    ask_client,
    error,
    judge_settings,
    openai_answer,
)
from lorabench.errors import JudgeError
from lorabench.judging.clients import JudgeClient, Unanswered, retry_after_seconds
from lorabench.judging.exchange import JudgeRequest


def script(fake: FakeJudge, *responses: Response) -> None:
    """Answer in this order; the last one for all further requests."""
    fake.respond = lambda number, body: responses[min(number, len(responses) - 1)]


def test_openai_request_and_answer(judge_server: FakeJudge) -> None:
    """The key is in the header; the answer has model, text and tokens."""
    reply = ask_client(judge_server)[0]
    assert judge_server.paths == ["/v1/chat/completions"]
    assert judge_server.headers[0]["authorization"] == "Bearer sk-secret-openai"
    assert judge_server.requests == [
        {"model": "judge", "messages": QUESTION, "n": 1, "temperature": 0, "max_tokens": 64}
    ]
    assert (reply.outcome, reply.text) == ("answered", "Rating: [[7]]")
    assert reply.model == "judge-2026-01-01"
    assert (reply.input_tokens, reply.output_tokens, reply.finish_reason) == (100, 10, "stop")
    assert (reply.sent, reply.dropped) == ({"temperature": 0, "max_tokens": 64}, ())


def test_anthropic_request_and_answer(judge_server: FakeJudge) -> None:
    """The system prompt is a field, no log-probabilities are asked for, text blocks are read."""
    script(judge_server, anthropic_answer())
    parameters = {"temperature": 0.0, "max_tokens": 64, "logprobs": True, "top_logprobs": 5}
    reply = ask_client(judge_server, parameters, kind="anthropic")[0]
    assert judge_server.paths == ["/v1/messages"]
    assert judge_server.headers[0]["authorization"] == "Bearer sk-secret-anthropic"
    assert judge_server.headers[0]["anthropic-version"]
    expected = {
        "model": "judge",
        "system": "Be strict.",
        "messages": QUESTION[1:],
        "temperature": 0,
        "max_tokens": 64,
    }
    assert judge_server.requests == [expected]
    assert (reply.text, reply.model) == ("Rating: [[7]]", "claude-judge-20260101")
    assert reply.dropped == ("logprobs", "top_logprobs")


def test_log_probabilities_of_the_first_token_are_read(judge_server: FakeJudge) -> None:
    """Alternatives come back as token -> log-probability."""
    top = [{"token": "m", "logprob": -0.1}, {"token": "M", "logprob": -2.5}]
    script(
        judge_server,
        openai_answer("m", logprobs={"content": [{"token": "m", "top_logprobs": top}]}),
    )
    assert ask_client(judge_server)[0].log_probabilities == {"m": -0.1, "M": -2.5}


@pytest.mark.parametrize(
    "fault",
    [
        error(500, "internal"),
        error(503, "overloaded"),
        error(529, "Overloaded", type="overloaded_error"),
        Response(status=502, document=b"<html><body>Bad gateway</body></html>"),
        Response(document=b"<html>login here</html>"),
        Response(document=b'{"choices": [{"mess'),
        Response(document=b"[]"),
        Response(document=b""),
        Response(document=openai_answer().document, cut=True),
        Response(document=openai_answer().document, delay_seconds=0.6),
    ],
    ids=[
        "500",
        "503",
        "529",
        "html-502",
        "html-200",
        "torn-json",
        "list",
        "nothing",
        "cut",
        "slow",
    ],
)
def test_passing_faults_are_tried_again(judge_server: FakeJudge, fault: Response) -> None:
    """Two faults and then an answer give the answer, in three requests."""
    script(judge_server, fault, fault, openai_answer())
    reply = ask_client(judge_server, timeout_seconds=0.3)[0]
    assert reply.text == "Rating: [[7]]"
    assert len(judge_server.requests) == 3


def test_lasting_fault_is_unanswered_with_its_reason(judge_server: FakeJudge) -> None:
    """After all tries the reason is the server's own."""
    script(judge_server, error(500, "disk full"))
    with pytest.raises(Unanswered, match="HTTP 500: disk full"):
        ask_client(judge_server)
    assert len(judge_server.requests) == QUICK.tries


def test_refused_connection_is_unanswered(judge_server: FakeJudge) -> None:
    """A server that is not there is a passing fault as well."""
    with pytest.raises(Unanswered, match="ConnectError"):
        ask_client(judge_server, base_url="http://127.0.0.1:9/v1")


def test_trickling_answer_meets_the_timeout(judge_server: FakeJudge) -> None:
    """The timeout is of the whole request."""
    script(judge_server, Response(document=openai_answer().document, delay_seconds=1.0))
    with pytest.raises(Unanswered, match=r"no answer within 0\.05 s"):
        ask_client(judge_server, timeout_seconds=0.05)


def test_retry_after_holds_back_every_request(judge_server: FakeJudge) -> None:
    """One 429 that asks for a second delays the other requests of the client, too."""
    limited = error(429, "slow down")
    limited.headers["Retry-After"] = "1"
    script(judge_server, limited, openai_answer())

    async def run() -> None:
        request = JudgeRequest(item="x", messages=QUESTION, parameters={"max_tokens": 1})
        async with JudgeClient(judge_settings(judge_server), QUICK) as client:
            first = asyncio.create_task(client.complete(request))
            while not judge_server.requests:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            await asyncio.gather(first, client.complete(request), client.complete(request))

    asyncio.run(run())
    assert len(judge_server.times) == 4
    assert min(judge_server.times[1:]) - judge_server.times[0] >= 0.95


def test_endless_retry_after_is_not_waited_for(judge_server: FakeJudge) -> None:
    """A server that asks for an hour is taken as down at once."""
    limited = error(429, "daily limit")
    limited.headers["Retry-After"] = "3600"
    script(judge_server, limited)
    with pytest.raises(Unanswered, match="daily limit"):
        ask_client(judge_server)
    assert len(judge_server.requests) == 1


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110 allows seconds and dates; nonsense counts as nothing."""
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < retry_after_seconds(httpx2.Headers({"retry-after": date})) <= 31
    assert retry_after_seconds(httpx2.Headers({"retry-after": "2.5"})) == 2.5
    assert retry_after_seconds(httpx2.Headers({"retry-after": "soon"})) == 0.0
    assert retry_after_seconds(httpx2.Headers({})) == 0.0


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. Please reduce your messages.",
        "'max_tokens' or 'max_completion_tokens' is too large: 2048. Your request has 7000.",
        "messages: text content blocks must be non-empty",
    ],
)
def test_bad_request_fails_its_item_only(judge_server: FakeJudge, message: str) -> None:
    """A prompt that does not fit is a failure of its item, at the first try."""
    script(judge_server, error(400, message))
    reply = ask_client(judge_server)[0]
    assert (reply.outcome, reply.reason) == ("failed", f"HTTP 400: {message}")
    assert len(judge_server.requests) == 1


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("openai", openai_answer(message={"content": None, "refusal": "I cannot."})),
        ("openai", openai_answer("", finish_reason="content_filter")),
        ("openai", error(400, "The response was filtered", code="content_filter")),
        ("anthropic", anthropic_answer("", stop_reason="refusal")),
    ],
)
def test_refusals_are_told_apart(judge_server: FakeJudge, kind: str, response: Response) -> None:
    """A judge that declines is neither an answer nor a fault."""
    script(judge_server, response)
    reply = ask_client(judge_server, kind=kind)[0]
    assert reply.outcome == "refused"
    assert reply.reason


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (error(401, "Incorrect key: sk-secret-openai."), "check the key in OPENAI_API_KEY"),
        (error(403, "Country not supported"), "access refused"),
        (error(404, "deprecated", code="model_not_found"), "retired or misspelt"),
        (error(400, "no such model", code="model_not_found"), "retired or misspelt"),
        (error(410, "gone"), "retired or misspelt"),
        (Response(status=301, document=b"", headers={"location": "http://h/v1"}), "http://h/v1"),
    ],
)
def test_hopeless_faults_stop_at_once(
    judge_server: FakeJudge, response: Response, words: str
) -> None:
    """No repetition cures a wrong key or an empty account; the key is not shown."""
    script(judge_server, response)
    with pytest.raises(JudgeError) as caught:
        ask_client(judge_server)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(judge_server.requests) == 1
