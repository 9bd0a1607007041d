"""Make text of people and models fit to show: no hidden characters, no local paths."""

import re
from collections.abc import Mapping
from typing import Any

# controls other than tab and newline, marks that turn the direction of text, half characters
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# a folder and a name in it, from the root of a file system; no part of an address or of a word
PATH = re.compile(r"(?<![\w:/.~>])/(?:[^\s/\"'`,;:<>()]+/)+([^\s/\"'`,;:<>()]+)")


def printable(text: str) -> str:
    """Return text in which every hidden character is shown by its number, as in ⟨U+202E⟩."""
    return HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, and say how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def without_paths(value: Any) -> Any:
    """Return a JSON value whose texts name files of this machine by their last part only."""
    if isinstance(value, str):
        return PATH.sub(r"…/\1", value)
    if isinstance(value, Mapping):
        return {key: without_paths(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(part) for part in value]
    return value
