"""A prepared conversation: one line of results/{run}/data/{train,validation}.jsonl."""

from dataclasses import dataclass
from typing import Literal, TypedDict


class Message(TypedDict):
    """One message in the form that chat templates take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One training conversation; roles alternate and the last message is the assistant's."""

    # the conversation tree's id, unique in a file
    id: str
    # ISO 639-1 code as in the source, e.g. "en"
    language: str
    messages: list[Message]
