"""Measure an OpenAI-compatible server under load; every streamed piece is timed on arrival.

As in our own load, a fixed number of users each sends the next request when the last one is
answered. Time to first token is that of the first piece with text; the end is that of the last
one. Tokens are the server's own count (`usage`) where it gives one, else the pieces. A failed
request is recorded with its reason and has no times.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from lorabench.errors import MeasurementError
from lorabench.inference.settings import PerformancePrompt, Server

KEY_VARIABLE = "INFERENCE_API_KEY"
MILLISECONDS = 1000.0
# asks the server not to end before the token limit; vLLM, SGLang and others know it, OpenAI's own
# service refuses it
FIXED_LENGTH = {"ignore_eos": True}
# what a server says to a parameter that it does not know
REFUSED = (400, 422)
LONGEST_REASON = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answered or failed request; times in milliseconds."""

    number: int
    # from the start of the level
    sent_ms: float
    # None = answered
    reason: str | None = None
    output_tokens: int | None = None
    tokens_from: str | None = None
    time_to_first_token_ms: float | None = None
    end_to_end_ms: float | None = None


class ServerClient:
    """A client of one variant's endpoint.

    The key comes from the environment variable INFERENCE_API_KEY; without it, no key is sent.
    """

    def __init__(self, server: Server, timeout_seconds: float) -> None:
        self.server = server
        self.timeout_seconds = timeout_seconds
        self._fixed_length: dict[str, Any] | None = None
        key = os.environ.get(KEY_VARIABLE, "").strip()
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    @property
    def lengths_fixed(self) -> bool:
        """Return whether the server takes the parameter of fixed lengths, known after `load`."""
        return bool(self._fixed_length)

    def load(
        self,
        prompts: Sequence[PerformancePrompt],
        *,
        concurrency: int,
        requests: int,
        new_tokens: int,
    ) -> list[Reply]:
        """Send `requests` requests, `concurrency` of them in flight; prompts take turns.

        The first call sends one more before, which is not counted.

        Raises:
            MeasurementError: the server does not answer that first request.
        """
        return asyncio.run(self._load(prompts, concurrency, requests, new_tokens))

    async def _load(
        self,
        prompts: Sequence[PerformancePrompt],
        concurrency: int,
        requests: int,
        new_tokens: int,
    ) -> list[Reply]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(
            headers=self._headers, timeout=self.timeout_seconds, limits=limits
        ) as http:
            if self._fixed_length is None:
                await self._meet(http, prompts[0].text, new_tokens)
            await self._connect(http, concurrency)
            start = time.perf_counter()
            numbers = iter(range(requests))
            replies: list[Reply] = []

            async def user() -> None:
                for number in numbers:
                    text = prompts[number % len(prompts)].text
                    replies.append(await self._request(http, text, new_tokens, number, start))

            await asyncio.gather(*(user() for _ in range(concurrency)))
        return sorted(replies, key=lambda reply: reply.number)

    async def _connect(self, http: httpx.AsyncClient, connections: int) -> None:
        """Open that many connections before timing; the answer does not matter."""
        url = self.server.base_url.rstrip("/") + "/models"
        with suppress(httpx.HTTPError):
            await asyncio.gather(*(http.get(url) for _ in range(connections)))

    async def _meet(self, http: httpx.AsyncClient, text: str, new_tokens: int) -> None:
        """Send one request that is not counted; it shows whether answers can have one length."""
        first: Reply | None = None
        for extra in (FIXED_LENGTH, {}):
            self._fixed_length = extra
            first = await self._request(http, text, new_tokens, 0, time.perf_counter())
            if first.reason is None:
                return
            if not first.reason.startswith(tuple(f"HTTP {code}" for code in REFUSED)):
                break
        self._fixed_length = None
        assert first is not None
        raise MeasurementError(
            f"server {self.server.base_url}, model {self.server.model!r}: {first.reason}; check"
            f" measure_inference.server and the variable {KEY_VARIABLE}"
        )

    async def _request(
        self, http: httpx.AsyncClient, text: str, new_tokens: int, number: int, start: float
    ) -> Reply:
        body = {
            "model": self.server.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": new_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **(self._fixed_length or {}),
        }
        sent = time.perf_counter()
        known: dict[str, Any] = {"number": number, "sent_ms": MILLISECONDS * (sent - start)}
        first: float | None = None
        last = sent
        pieces, counted, ended = 0, None, False
        url = self.server.base_url.rstrip("/") + "/chat/completions"
        try:
            async with http.stream("POST", url, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    message = (await response.aread()).decode(errors="replace")
                    return Reply(**known, reason=_short(f"HTTP {response.status_code}: {message}"))
                async for event in _events(response):
                    if event is None:
                        # read on to the end: a connection that is left early cannot be used again
                        ended = True
                        continue
                    if "error" in event:
                        return Reply(**known, reason=_short(f"error: {event['error']}"))
                    usage = event.get("usage") or {}
                    counted = usage.get("completion_tokens", counted)
                    if _has_text(event):
                        last = time.perf_counter()
                        first = first or last
                        pieces += 1
        except (httpx.HTTPError, ValueError) as error:
            return Reply(**known, reason=_short(f"{type(error).__name__}: {error}"))
        if first is None or not ended:
            return Reply(**known, reason="the stream ended without an answer or its end mark")
        return Reply(
            **known,
            output_tokens=counted or pieces,
            tokens_from="usage" if counted else "stream",
            time_to_first_token_ms=MILLISECONDS * (first - sent),
            end_to_end_ms=MILLISECONDS * (last - sent),
        )


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the JSON object of each server-sent event, None for the mark that ends the stream."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            content = line.strip().removeprefix(b"data:").strip()
            if content == b"[DONE]":
                yield None
            elif line.startswith(b"data:"):
                yield json.loads(content)


def _has_text(event: dict[str, Any]) -> bool:
    deltas = [choice.get("delta") or {} for choice in event.get("choices") or []]
    return any(delta.get("content") or delta.get("reasoning_content") for delta in deltas)


def _short(reason: str) -> str:
    return " ".join(reason.split())[:LONGEST_REASON]
