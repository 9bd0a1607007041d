"""Ask a remote judge one question: bounded waits, further tries, refused parameters, clear reasons.

A request ends in one of four ways: an answer; a failure of this request only (HTTP 400: the prompt
is too long, or not allowed); `Unanswered` after all tries met a passing fault (429, 5xx, cut
connection, timeout, a response that is not the interface's); or JudgeError, which no repetition can
cure (wrong key, retired model, no credit).
"""

import asyncio
import email.utils
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from lorabench.errors import JudgeError, PrerequisiteError
from lorabench.judging.availability import KEY_VARIABLES, secret_faults
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.faults import Fault, fault_in_answer, read_fault
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.transport import NoResponse, Transport
from lorabench.judging.wire import (
    NEEDED_BY,
    Refusals,
    arguments,
    clean,
    read_reply,
    sent_parameters,
)

logger = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 60.0
# Besides 5xx, of which 529 is Anthropic's "overloaded".
PASSING = {408, 409, 425, 429}
CONTENT_CODES = {"content_filter", "content_policy_violation"}
# Shorter values are no secrets ("EMPTY" of a local server) and may be words of an answer.
SHORTEST_SECRET = 8


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client bears with passing faults of one request."""

    tries: int = 8
    # Before the second try; doubled for each further one, less up to half at random.
    first_backoff_seconds: float = 1.0
    # A server that asks for more is as good as down.
    longest_retry_after_seconds: float = 600.0


JUDGING = Patience()


class Unanswered(Exception):
    """A passing fault outlasted all tries."""


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
        lost: Callable[[JudgeRequest, str], None] = lambda request, reason: None,
    ) -> None:
        """Take the key from the environment; it is never logged or stored.

        Args:
            refusals: what is known to be refused; the attribute holds what was learnt in the end.
            lost: called with each request that the judge may have charged for without an answer
                that can be read.

        Raises:
            PrerequisiteError: the key holds what no key has.
        """
        if faults := secret_faults(os.environ, [KEY_VARIABLES[settings.kind]]):
            raise PrerequisiteError(faults[0])
        self._settings = settings
        self._key = os.environ.get(KEY_VARIABLES[settings.kind], "").strip() or None
        self._patience = patience
        self._transport = Transport(settings, self._key)
        self.url = self._transport.url
        self.refusals = refusals or Refusals()
        self._lost = lost
        # time.monotonic(); a Retry-After holds back all requests
        self._paused_until = 0.0

    async def __aenter__(self) -> "JudgeClient":
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._transport.close()

    async def complete(self, request: JudgeRequest) -> Reply:
        """Return the judge's answer to one request.

        Raises:
            Unanswered: no answer after all tries.
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
        backoff = self._patience.first_backoff_seconds * 2 ** (attempt - 1)
        return min(backoff, LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)

    async def _try(self, request: JudgeRequest) -> Reply:
        """Send the request until no parameter of it is refused any more."""
        while True:
            while (pause := self._paused_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            sent = sent_parameters(self._settings.kind, request, self.refusals)
            response = await self._send(request, sent)
            content = self._without_key(response.content)
            fault = fault_in_answer(content) if response.is_success else None
            if response.is_success and fault is None:
                return self._answer(request, content, sent)
            if fault is not None:
                self._lost(request, f"HTTP {response.status_code} with an error: {fault.message}")
            else:
                fault = read_fault(response.status_code, content)
            optional = [name for name in sent if name not in NEEDED_BY[self._settings.kind]]
            name = None if fault.no_credit else fault.refused_parameter(optional)
            if name is None:
                return self._failure(fault, response)
            # else a request that was on its way when another learnt of the refusal
            if name not in self.refusals.names:
                logger.warning(
                    "%s refuses the parameter %s: not sent any more", self._settings.model, name
                )
                self.refusals = self.refusals.add(name)

    async def _send(self, request: JudgeRequest, sent: dict[str, Any]) -> httpx2.Response:
        kind, model = self._settings.kind, str(self._settings.model)
        try:
            return await self._transport.send(arguments(kind, model, request, sent))
        except NoResponse as fault:
            reason = self._without_key(str(fault).encode()).decode()
            if fault.sent:
                self._lost(request, reason)
            raise _Passing(reason) from None

    def _answer(self, request: JudgeRequest, content: bytes, sent: dict[str, Any]) -> Reply:
        try:
            reply = read_reply(self._settings.kind, content)
        except ValueError as error:
            start = clean(" ".join(content[:400].decode("utf-8", "replace").split())[:80])
            reason = f"HTTP 200 without an answer: {error}; it begins {start!r}"
            self._lost(request, reason)
            raise _Passing(reason) from None
        asked = [name for name, value in request.parameters.items() if value is not None]
        return replace(reply, sent=sent, dropped=tuple(name for name in asked if name not in sent))

    def _failure(self, fault: Fault, response: httpx2.Response) -> Reply:
        """Return a failed reply for a fault of this request; raise for the others."""
        judge = f"judge {self._settings.model} at {self.url}"
        if fault.no_credit:
            raise JudgeError(
                f"{judge}: no credit left ({fault}); answers so far are kept: top up the account"
                " and run the same command again, only the missing ones are asked"
            )
        if fault.status in PASSING or fault.status >= 500:
            raise _Passing(str(fault), retry_after_seconds(response.headers))
        if fault.status in (401, 403):
            variable = KEY_VARIABLES[self._settings.kind]
            raise JudgeError(
                f"{judge}: access refused ({fault}); check the key in {variable} and its rights"
            )
        if fault.status in (404, 410) or fault.code == "model_not_found":
            raise JudgeError(
                f"{judge}: not found ({fault}); the model is retired or misspelt: set judge.model"
                " to a current one"
            )
        if 300 <= fault.status < 400:
            address = self._without_key(str(response.headers.get("location")).encode()).decode()
            words = f"redirected to {address}; set judge.base_url to that address"
            raise JudgeError(f"{judge}: {words}")
        outcome = "refused" if fault.code in CONTENT_CODES else "failed"
        return Reply(outcome=outcome, reason=str(fault))

    def _without_key(self, content: bytes) -> bytes:
        """Return what a server sent with the key, should it repeat it, replaced by stars."""
        if not self._key or len(self._key) < SHORTEST_SECRET:
            return content
        return content.replace(self._key.encode(), b"***")


def retry_after_seconds(response_headers: httpx2.Headers) -> float:
    """Return how long a server asks to wait, else 0 (RFC 9110, 10.2.3)."""
    value = response_headers.get("retry-after", "").strip()
    try:
        moment = email.utils.parsedate_tz(value)
        seconds = email.utils.mktime_tz(moment) - time.time() if moment else float(value)
    except (ValueError, OverflowError, TypeError):
        return 0.0
    # not-a-number is no time
    return seconds if seconds > 0 else 0.0
