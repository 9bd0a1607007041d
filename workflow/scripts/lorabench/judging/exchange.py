"""What is asked of a judge and what it answers, alike for the local judge and for remote ones."""

from dataclasses import dataclass
from typing import Any, Protocol

from lorabench.files import sha256_json


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """One question to a judge."""

    item: str  # for messages and logs, e.g. "81-1"
    messages: list[dict[str, str]]
    parameters: dict[str, Any]  # remote: max_tokens, temperature, logprobs, ...; local: choices, assistant_prefix
    attempt: int = 0  # a re-ask has its own place in the store

    def key(self, identity: dict[str, Any]) -> str:
        """Return the content address of the answer: judge, parameters and whole prompt."""
        return sha256_json(
            {
                "judge": identity,
                "messages": self.messages,
                "parameters": self.parameters,
                "attempt": self.attempt,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a judge; `text` and `log_probabilities` are read by the benchmark's own rules."""

    outcome: str  # "answered" | "refused" (the judge declined) | "failed" (this request cannot be answered)
    text: str = ""
    reason: str | None = None  # of a refusal or failure
    model: str | None = None  # as the judge names itself
    finish_reason: str | None = None
    log_probabilities: dict[str, float] | None = (
        None  # local: of each choice; remote: of the first token's alternatives
    )
    input_tokens: int | None = None  # None = not reported
    output_tokens: int | None = None
    usd: float = 0.0  # by the configured prices
    sent: dict[str, Any] | None = None  # parameters as they were sent in the end
    dropped: tuple[str, ...] = ()  # parameters that the provider refused
    cached: bool = False  # read from the store


class Judge(Protocol):
    """A judge that is open for questions."""

    kind: str
    model: str  # as asked for
    estimated_usd: float  # before the first call, for what was not in the store

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return one answer for each request, in their order."""
        ...
