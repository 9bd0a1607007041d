"""What is asked of a judge and what it answers, alike for the local judge and for remote ones."""

from dataclasses import dataclass
from typing import Any, Protocol

from lorabench.files import sha256_json


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """One question to a judge."""

    # for messages and logs, e.g. "81-1"
    item: str
    messages: list[dict[str, str]]
    # remote: max_tokens, temperature, logprobs, ...; local: choices, assistant_prefix
    parameters: dict[str, Any]
    # a re-ask has its own place in the store
    attempt: int = 0

    def key(self, identity: dict[str, Any]) -> str:
        """Return the content address of the answer: judge, parameters and whole prompt."""
        asked = {"messages": self.messages, "parameters": self.parameters, "attempt": self.attempt}
        return sha256_json({"judge": identity, **asked})


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a judge, as the benchmark's own rules read it."""

    # "answered" | "refused" (the judge declined) | "failed" (this request cannot be answered)
    outcome: str
    text: str = ""
    # of a refusal or failure
    reason: str | None = None
    # as the judge names itself
    model: str | None = None
    finish_reason: str | None = None
    # local: of each choice; remote: of the first token's alternatives
    log_probabilities: dict[str, float] | None = None
    # None = not reported
    input_tokens: int | None = None
    output_tokens: int | None = None
    # by the configured prices
    usd: float = 0.0
    # parameters as they were sent in the end
    sent: dict[str, Any] | None = None
    # parameters that the provider refused
    dropped: tuple[str, ...] = ()
    # read from the store
    cached: bool = False
    # another run has paid for it
    other_run: bool = False


class Judge(Protocol):
    """A judge that is open for questions."""

    kind: str
    # as asked for
    model: str
    # before the first call, for what was not in the store
    estimated_usd: float

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return one answer for each request, in their order."""
        ...


def unjudged(reply: Reply) -> str:
    """Return the outcome of an item to which this reply gives no score."""
    named = {"refused": "judge_refused", "failed": "judge_failed"}
    return named.get(reply.outcome, "judge_unparsed")
