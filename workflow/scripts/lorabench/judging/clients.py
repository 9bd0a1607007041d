"""One asynchronous HTTP client for remote judges: bounded waits, retries, refused parameters, clear
reasons.

A request ends in one of four ways: an answer; a failure of this request alone (HTTP 400: the prompt
is too long, or not allowed); `Unanswered` after all retries of a passing fault (429, 5xx, cut
connection, timeout, a response that is not the interface's); or JudgeError, which no repetition can
cure (wrong key, retired model, no credit).
"""

import asyncio
import email.utils
import logging
import os
import random
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import httpx

from lorabench.errors import JudgeError
from lorabench.judging.availability import KEY_VARIABLES
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.wire import (
    Refusals,
    body,
    endpoint,
    error_details,
    headers,
    read_reply,
    refused_parameter,
    sent_parameters,
)

logger = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 60.0
# besides 5xx, of which 529 is Anthropic's "overloaded"
PASSING = {408, 409, 425, 429}
CONTENT_CODES = {"content_filter", "content_policy_violation"}


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client bears with passing faults of one request."""

    tries: int = 8
    first_backoff_seconds: float = (
        # before the second try; doubled for each further one, less up to half at random
        1.0
    )
    # a server that asks for more is as good as down
    longest_retry_after_seconds: float = 600.0


JUDGING = Patience()


class Unanswered(Exception):
    """A passing fault outlasted all retries."""


class _Passing(Exception):
    """A fault that another try may not meet; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class JudgeClient:
    """A connection pool to one judge. Use as an asynchronous context manager."""

    def __init__(
        self,
        settings: JudgeSettings,
        patience: Patience = JUDGING,
        refusals: Refusals | None = None,
    ) -> None:
        """Take the key from the environment; it is never logged or stored.

        Args:
            refusals: parameters that are known to be refused; `refusals` holds what was learnt in
                the end.
        """
        self._settings = settings
        self._key = os.environ.get(KEY_VARIABLES[settings.kind], "").strip() or None
        self._patience = patience
        self.url = endpoint(settings.kind, settings.base_url)
        self.refusals = refusals or Refusals()
        # time.monotonic(); a Retry-After holds back all requests
        self._paused_until = 0.0
        limits = httpx.Limits(max_connections=settings.concurrency)
        self._http = httpx.AsyncClient(timeout=settings.timeout_seconds, limits=limits)

    async def __aenter__(self) -> "JudgeClient":
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def complete(self, request: JudgeRequest) -> Reply:
        """Return the judge's answer to one request.

        Raises:
            Unanswered: no answer after all retries.
            JudgeError: the judge cannot be used at all.
        """
        reason = ""
        for attempt in range(self._patience.tries):
            if attempt:
                await asyncio.sleep(self._wait(attempt))
            try:
                return await self._try(request)
            except _Passing as fault:
                reason = str(fault)
                logger.info(
                    "%s: try %d of %d: %s", request.item, attempt + 1, self._patience.tries, reason
                )
                if fault.wait > self._patience.longest_retry_after_seconds:
                    break
                self._paused_until = max(self._paused_until, time.monotonic() + fault.wait)
        raise Unanswered(reason)

    def _wait(self, attempt: int) -> float:
        backoff = min(
            self._patience.first_backoff_seconds * 2 ** (attempt - 1), LONGEST_BACKOFF_SECONDS
        )
        return backoff * random.uniform(0.5, 1.0)

    async def _try(self, request: JudgeRequest) -> Reply:
        """Send the request until no parameter of it is refused any more."""
        while True:
            while (pause := self._paused_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            sent = sent_parameters(self._settings.kind, request, self.refusals)
            response = await self._post(
                body(self._settings.kind, str(self._settings.model), request, sent)
            )
            if response.status_code == 200:
                return self._answer(request, response, sent)
            message, code, parameter = error_details(response.content)
            name = None
            if response.status_code in (400, 403, 422):
                name = refused_parameter(message, parameter, sent)
            if name is None:
                return self._failure(response, self._redact(message), code)
            if (
                name not in self.refusals.names
                # else a request that was on its way when another learnt of the refusal
            ):
                logger.warning(
                    "%s refuses the parameter %s: not sent any more", self._settings.model, name
                )
                self.refusals = self.refusals.add(name)

    async def _post(self, content: bytes) -> httpx.Response:
        try:
            async with asyncio.timeout(
                self._settings.timeout_seconds
                # httpx limits each wait, not their sum
            ):
                return await self._http.post(
                    self.url, content=content, headers=headers(self._settings.kind, self._key)
                )
        except TimeoutError:
            raise _Passing(f"no answer within {self._settings.timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            raise _Passing(self._redact(f"{type(error).__name__}: {error}")) from None

    def _answer(
        self, request: JudgeRequest, response: httpx.Response, sent: dict[str, Any]
    ) -> Reply:
        try:
            reply = read_reply(self._settings.kind, response.content)
        except ValueError as error:
            start = self._redact(" ".join(response.text.split())[:80])
            raise _Passing(f"HTTP 200 without an answer: {error}; it begins {start!r}") from None
        names = [
            name
            for name, value in request.parameters.items()
            if value is not None and name not in sent
        ]
        return replace(reply, sent=sent, dropped=tuple(names))

    def _failure(self, response: httpx.Response, message: str, code: str) -> Reply:
        """Return a failed reply for a fault of this request; raise for the others."""
        status = response.status_code
        text = f"HTTP {status}: {message or response.reason_phrase}"
        judge = f"judge {self._settings.model} at {self.url}"
        if code == "insufficient_quota" or status == 402:
            raise JudgeError(
                f"{judge}: no credit left ({text}); top up the account and run the same command"
                " again"
            )
        if status in PASSING or status >= 500:
            raise _Passing(text, retry_after_seconds(response.headers))
        if status in (401, 403):
            variable = KEY_VARIABLES[self._settings.kind]
            raise JudgeError(
                f"{judge}: access refused ({text}); check the key in {variable} and its rights"
            )
        if status in (404, 410) or code == "model_not_found":
            raise JudgeError(
                f"{judge}: not found ({text}); the model is retired or misspelt: set judge.model to"
                " a current one"
            )
        if 300 <= status < 400:
            raise JudgeError(
                f"{judge}: redirected to {response.headers.get('location')}; set judge.base_url to"
                " that address"
            )
        return Reply(outcome="refused" if code in CONTENT_CODES else "failed", reason=text)

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def retry_after_seconds(response_headers: httpx.Headers) -> float:
    """Return how long a server asks to wait, 0 where it does not say (RFC 9110, 10.2.3: seconds or
    a date)."""
    value = response_headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    moment = email.utils.parsedate_tz(value)
    return max(0.0, email.utils.mktime_tz(moment) - time.time()) if moment else 0.0
