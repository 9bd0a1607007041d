"""A prepared conversation: one line of results/{run}/data/{train,validation}.jsonl."""

from dataclasses import dataclass
from typing import Literal

from typing_extensions import TypedDict


class Message(TypedDict):
    """One message in the form that chat templates take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One training conversation; roles alternate and the last message is the assistant's."""

    id: str
    """The conversation tree's id, unique in a file."""
    language: str
    """ISO 639-1 code as in the source, e.g. "en"."""
    messages: list[Message]
