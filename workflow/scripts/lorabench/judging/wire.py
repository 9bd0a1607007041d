"""The two interfaces of judges as pure functions: arguments of a call out, answer in.

OpenAI chat completions (https://platform.openai.com/docs/api-reference/chat), spoken by most
servers, and Anthropic messages (https://docs.anthropic.com/en/api/messages). An answer is read with
care: whatever a server puts into a response with status 200, it has been paid for.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from lorabench.errors import JudgeError
from lorabench.judging.exchange import JudgeRequest, Reply

# Parameters that the interface does not have.
UNKNOWN_TO = {"openai": (), "anthropic": ("logprobs", "top_logprobs")}
# Parameters that a request cannot go without.
NEEDED_BY = {"openai": (), "anthropic": ("max_tokens",)}
# Of the token limit in OpenAI's interface, in the order tried.
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
# A larger count of one request is a mistake of the server: no model reads as much.
MOST_TOKENS = 10_000_000
LONGEST_NAME = 200


@dataclass(frozen=True)
class Refusals:
    """Names of parameters that the provider refused so far."""

    names: frozenset[str] = frozenset()

    @property
    def limit_name(self) -> str:
        """Return the name under which the token limit is sent."""
        return next(name for name in LIMIT_NAMES if name not in self.names)

    def add(self, name: str) -> "Refusals":
        """Return the refusals with one more.

        Raises:
            JudgeError: the provider takes the token limit under neither name.
        """
        more = {"logprobs", "top_logprobs"} if name in ("logprobs", "top_logprobs") else {name}
        names = self.names | more
        if names.issuperset(LIMIT_NAMES):
            raise JudgeError(
                f"the judge takes the token limit under neither name: {' nor '.join(LIMIT_NAMES)}"
            )
        return Refusals(names)


def sent_parameters(kind: str, request: JudgeRequest, refusals: Refusals) -> dict[str, Any]:
    """Return the request's parameters that neither interface nor provider refuses."""
    sent = {}
    for name, value in request.parameters.items():
        own = refusals.limit_name if name == "max_tokens" and kind == "openai" else name
        if value is not None and own not in refusals.names and name not in UNKNOWN_TO[kind]:
            sent[own] = int(value) if isinstance(value, float) and value.is_integer() else value
    return sent


def arguments(kind: str, model: str, request: JudgeRequest, sent: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the client's call; for OpenAI those of FastChat's."""
    if kind == "openai":
        return {"model": model, "messages": request.messages, "n": 1, **sent}
    system = [message["content"] for message in request.messages if message["role"] == "system"]
    rest = [message for message in request.messages if message["role"] != "system"]
    first = {"system": "\n\n".join(system)} if system else {}
    limit = {"max_tokens": sent["max_tokens"]}
    # The client's types have no sampling parameters: newer models refuse them.
    more = {name: value for name, value in sent.items() if name not in limit}
    return {"model": model, "messages": rest, **first, **limit, "extra_body": more}


def read_reply(kind: str, content: bytes) -> Reply:
    """Return the answer in a response with status 200; the text may be empty.

    Raises:
        ValueError: the response is not a JSON object, so that no judge has answered.
    """
    try:
        document = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError(f"expected a JSON object, found {type(document).__name__}")
    return _read_openai(document) if kind == "openai" else _read_anthropic(document)


def _read_openai(document: dict[str, Any]) -> Reply:
    choice = _mapping(_first(document.get("choices")))
    message, usage = _mapping(choice.get("message")), _mapping(document.get("usage"))
    refusal = _text(message.get("refusal"))
    filtered = choice.get("finish_reason") == "content_filter"
    return Reply(
        outcome="refused" if refusal or filtered else "answered",
        text=_text(message.get("content")),
        reason=refusal or ("content filter" if filtered else None),
        model=_name(document.get("model")),
        finish_reason=_name(choice.get("finish_reason")),
        log_probabilities=_first_token(choice.get("logprobs")),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _read_anthropic(document: dict[str, Any]) -> Reply:
    refused = document.get("stop_reason") == "refusal"
    usage = _mapping(document.get("usage"))
    return Reply(
        outcome="refused" if refused else "answered",
        text=_text(document.get("content")),
        reason="the model refused" if refused else None,
        model=_name(document.get("model")),
        finish_reason=_name(document.get("stop_reason")),
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
    )


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: half a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(content: Any) -> str:
    """Return a message's text, which comes whole or in parts; what is no text is left out."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(_text(part.get("text")) for part in parts)
    return clean(content) if isinstance(content, str) else ""


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str | None:
    """Return a name as one line of bounded length, None where the value is no name."""
    words = " ".join(clean(value).split())[:LONGEST_NAME] if isinstance(value, str) else ""
    return "".join(letter for letter in words if letter.isprintable()) or None


def _count(value: Any) -> int | None:
    """Return a number of tokens, None where the value cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MOST_TOKENS and value == int(value) else None


def _first_token(log_probabilities: Any) -> dict[str, float] | None:
    """Return the alternatives of the first generated token, None without valid ones."""
    position = _mapping(_first(_mapping(log_probabilities).get("content")))
    listed = position.get("top_logprobs")
    alternatives = {}
    for entry in listed if isinstance(listed, list) else []:
        token: Any = _mapping(entry).get("token")
        value: Any = _mapping(entry).get("logprob")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # above 0 by rounding at most
        if not isinstance(token, str) or not number or not value <= 0.01:
            return None
        if value > -math.inf:
            alternatives[clean(token)] = float(max(value, -1e6))
    return alternatives or None
