"""The connection to a judge, by the provider's own client: the packages `openai` and `anthropic`.

They know the addresses, the headers and the interface's version. Their retries are off, redirects
are not followed, and the response comes back as it arrived: what it is worth is for us to say,
since an answer that their types cannot hold was still paid for.
"""

import asyncio
import importlib
import logging
from typing import Any

import httpx2

from lorabench.judging.settings import JudgeSettings

# Faults before the request was sent: the judge cannot have charged for it.
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


# They log a line a request, or every header of a response, which may repeat the key.
for name in ("openai", "anthropic", "httpx2", "httpcore2"):
    logging.getLogger(name).setLevel(logging.WARNING)


class NoResponse(Exception):
    """No whole response; `sent` = the judge may have worked, and charged, nevertheless."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Transport:
    """A pool of connections to one judge; `url` is where requests go."""

    def __init__(self, settings: JudgeSettings, key: str | None) -> None:
        """Open the client of `settings.kind`; `key` None = a server that needs no key."""
        self._sdk = importlib.import_module(settings.kind)
        self._timeout = settings.timeout_seconds
        http = self._sdk.DefaultAsyncHttpxClient(
            limits=httpx2.Limits(max_connections=settings.concurrency), follow_redirects=False
        )
        # Where the base address is None, the client would read it from its own variable.
        common = {"max_retries": 0, "timeout": self._timeout, "http_client": http}
        if settings.kind == "anthropic":
            # Other tools want /v1 at the end of this address, this client adds it.
            base = (settings.base_url or "https://api.anthropic.com").rstrip("/")
            base = base.removesuffix("/v1")
            self._client = self._sdk.AsyncAnthropic(api_key=key or "none", base_url=base, **common)
            self._create = self._client.messages.with_raw_response.create
            self.url = f"{base}/v1/messages"
        else:
            base = (settings.base_url or "https://api.openai.com/v1").rstrip("/")
            self._client = self._sdk.AsyncOpenAI(api_key=key or "none", base_url=base, **common)
            self._create = self._client.chat.completions.with_raw_response.create
            self.url = f"{base}/chat/completions"
        self._headers = {} if key else {"Authorization": self._sdk.Omit()}

    async def send(self, arguments: dict[str, Any]) -> httpx2.Response:
        """Return the whole response to one request, whatever its status.

        Raises:
            NoResponse: the connection failed, or the time limit passed.
        """
        try:
            # The client limits each wait, not their sum.
            async with asyncio.timeout(self._timeout):
                raw = await self._create(**arguments, extra_headers=self._headers)
            return raw.http_response
        except self._sdk.APIStatusError as error:
            return error.response
        except (TimeoutError, self._sdk.APITimeoutError) as error:
            reason = f"no answer within {self._timeout:g} s"
            raise NoResponse(reason, sent=not isinstance(error.__cause__, NEVER_SENT)) from None
        except self._sdk.APIConnectionError as error:
            cause = error.__cause__
            reason = f"{type(cause).__name__}: {cause}"
            raise NoResponse(reason, sent=not isinstance(cause, NEVER_SENT)) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
