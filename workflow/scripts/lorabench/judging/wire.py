"""The two HTTP interfaces of judges as pure functions: request body out, answer in.

OpenAI chat completions (https://platform.openai.com/docs/api-reference/chat), spoken by most
servers, and Anthropic messages (https://docs.anthropic.com/en/api/messages).
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from lorabench.errors import JudgeError
from lorabench.judging.exchange import JudgeRequest, Reply

DEFAULT_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}
PATHS = {"openai": "/chat/completions", "anthropic": "/messages"}
ANTHROPIC_VERSION = "2023-06-01"
UNKNOWN_TO = {
    "openai": (),
    "anthropic": ("logprobs", "top_logprobs"),
    # parameters that the interface does not have
}
LIMIT_NAMES = (
    "max_tokens",
    "max_completion_tokens",
    # of the token limit in OpenAI's interface, in the order tried
)
NOT_TAKEN = re.compile(
    r"(?i)unsupported|not support|does not support|deprecated|unrecognized|unknown|extra inputs|not"
    r" permitted"
)


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


def endpoint(kind: str, base_url: str | None) -> str:
    """Return the address of requests; for Anthropic a base address may end in /v1 or not, as its
    own tools allow."""
    base = (base_url or DEFAULT_URLS[kind]).rstrip("/")
    if kind == "anthropic" and not base.endswith("/v1"):
        base += "/v1"
    return base + PATHS[kind]


def headers(kind: str, key: str | None) -> dict[str, str]:
    """Return the request headers; `key` None = a server that asks for none."""
    common = {"content-type": "application/json", "accept": "application/json"}
    if kind == "anthropic":
        return (
            common | {"anthropic-version": ANTHROPIC_VERSION} | ({"x-api-key": key} if key else {})
        )
    return common | ({"authorization": f"Bearer {key}"} if key else {})


def sent_parameters(kind: str, request: JudgeRequest, refusals: Refusals) -> dict[str, Any]:
    """Return the request's parameters that are sent: those with a value that neither interface nor
    provider refuses."""
    sent = {}
    for name, value in request.parameters.items():
        own = refusals.limit_name if name == "max_tokens" and kind == "openai" else name
        if value is not None and own not in refusals.names and name not in UNKNOWN_TO[kind]:
            sent[own] = int(value) if isinstance(value, float) and value.is_integer() else value
    return sent


def body(kind: str, model: str, request: JudgeRequest, sent: dict[str, Any]) -> bytes:
    """Return the request body; for OpenAI the very bytes that FastChat's client sends (n is the
    number of answers)."""
    if kind == "openai":
        return json.dumps({"model": model, "messages": request.messages, "n": 1, **sent}).encode()
    system = [message["content"] for message in request.messages if message["role"] == "system"]
    rest = [message for message in request.messages if message["role"] != "system"]
    whole = {"model": model, "system": "\n\n".join(system), "messages": rest, **sent}
    return json.dumps(
        whole if system else {name: value for name, value in whole.items() if name != "system"}
    ).encode()


def read_reply(kind: str, content: bytes) -> Reply:
    """Return the answer in a response with status 200.

    Raises:
        ValueError: the response is not what the interface promises: not JSON, or not its shape.
    """
    try:
        document = json.loads(content)
        return _read_openai(document) if kind == "openai" else _read_anthropic(document)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected shape ({type(error).__name__}: {error})") from None


def _read_openai(document: dict[str, Any]) -> Reply:
    choice = document["choices"][0]
    message = choice["message"]
    usage = document.get("usage") or {}
    refusal = message.get("refusal")
    filtered = choice.get("finish_reason") == "content_filter"
    return Reply(
        outcome="refused" if refusal or filtered else "answered",
        text=_text(message.get("content")),
        reason=str(refusal) if refusal else "content filter" if filtered else None,
        model=document.get("model"),
        finish_reason=choice.get("finish_reason"),
        log_probabilities=_first_token(choice.get("logprobs")),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _text(content: Any) -> str:
    """Return a message's text, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError(f"content is {type(content).__name__}")
    return content or ""


def _first_token(log_probabilities: Any) -> dict[str, float] | None:
    """Return the alternatives of the first generated token, None where the server gave none."""
    positions = (log_probabilities or {}).get("content") or []
    alternatives = positions[0].get("top_logprobs") if positions else None
    return (
        {entry["token"]: float(entry["logprob"]) for entry in alternatives}
        if alternatives
        else None
    )


def _read_anthropic(document: dict[str, Any]) -> Reply:
    refused = document.get("stop_reason") == "refusal"
    usage = document.get("usage") or {}
    return Reply(
        outcome="refused" if refused else "answered",
        text="".join(block["text"] for block in document["content"] if block["type"] == "text"),
        reason="the model refused" if refused else None,
        model=document.get("model"),
        finish_reason=document.get("stop_reason"),
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
    )


def error_details(content: bytes) -> tuple[str, str, str]:
    """Return (message, code, parameter) of an error response; the start of its text where it is not
    JSON."""
    text = content.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200], "", ""
    error = document.get("error", document) if isinstance(document, dict) else document
    if not isinstance(error, dict):
        return str(error)[:500], "", ""
    message = error.get("message") or error.get("detail") or error
    return (
        str(message)[:500],
        str(error.get("code") or error.get("type") or ""),
        str(error.get("param") or ""),
    )


def refused_parameter(message: str, parameter: str, sent: dict[str, Any]) -> str | None:
    """Return which of the sent parameters an error refuses, None if it is about something else.

    A token limit that is merely too large for the context is about the prompt and no refusal.
    """
    for name in sent:
        named = parameter == name or re.search(rf"(?<![a-z_]){name}(?![a-z_])", message) is not None
        if named and (name not in LIMIT_NAMES or NOT_TAKEN.search(message)):
            return name
    if "logprobs" in sent and "logprobs" in message:
        return "logprobs"
    return None
