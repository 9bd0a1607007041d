"""The shapes in which people keep conversations, each turned into the same turns of role and text.

| format | keys of a row |
|---|---|
| trees | OpenAssistant's: message_tree_id and prompt with nested replies, or flat messages |
| messages | messages: list of role and content |
| sharegpt | conversations: list of from and value |
| alpaca | instruction, input (may be empty), output |
| prompt_completion | prompt and completion, texts or lists of messages |

`auto` recognises the format of each row by its keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lorabench.data.tables import TYPE_NAMES, Row, field
from lorabench.errors import DataError

AUTO = "auto"
# Other names of the same key, the usual one first; the second row of a pair is the answer's.
LISTS = {"messages": ("messages",), "sharegpt": ("conversations", "conversation")}
PAIRS = {
    "alpaca": (("instruction",), ("output", "response")),
    "prompt_completion": (("prompt",), ("completion", "response")),
}
FORMATS = (AUTO, "trees", *LISTS, *PAIRS)
ROLES = {
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "bot", "model", "ai", "chatgpt"),
    "system": ("system", "developer"),
}
ROLE_OF = {alias: role for role, aliases in ROLES.items() for alias in aliases}
ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value", "text")
# Role -> roles that may come next; None = the beginning.
FOLLOWERS: dict[str | None, tuple[str, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
}


@dataclass(frozen=True)
class Turn:
    """What one side said, and its place in the file."""

    role: str
    text: str
    place: str


def recognise(row: Row, wanted: str, place: str) -> str:
    """Return the format of a row: `wanted`, or the one whose keys the row has.

    Raises:
        DataError: it has the keys of no format, or of several.
    """
    if wanted != AUTO:
        if not _fits(row, wanted):
            raise DataError(f"{place}: not of format {wanted}: {_expected(wanted)}; {_keys(row)}")
        return wanted
    if _fits(row, "trees"):
        return "trees"
    fitting = [name for name in FORMATS[2:] if _fits(row, name)]
    if not fitting:
        raise DataError(
            f"{place}: expected a conversation tree (message_tree_id, prompt), a flat message"
            " (message_id, parent_id) or a conversation (messages; conversations; instruction and"
            f" output; prompt and completion); {_keys(row)}"
        )
    if len(fitting) > 1:
        raise DataError(
            f"{place}: the keys fit {' and '.join(fitting)}; say which with"
            f" `format: {fitting[0]}` or another in fetch_conversations; {_keys(row)}"
        )
    return fitting[0]


def _fits(row: Row, name: str) -> bool:
    if name == "trees":
        return ("prompt" in row and "message_tree_id" in row) or "message_id" in row
    if name in LISTS:
        return _key(row, LISTS[name]) is not None
    return all(_key(row, names) is not None for names in PAIRS[name])


def _key(row: Row, names: tuple[str, ...]) -> str | None:
    """Return the first of `names` that the row has; tables fill absent columns with nulls."""
    return next((name for name in names if row.get(name) is not None), None)


def _keys(row: Row) -> str:
    return f"found {', '.join(map(str, row)) or 'nothing'}"


def _expected(name: str) -> str:
    if name == "trees":
        return "expected message_tree_id and prompt, or message_id"
    if name in LISTS:
        return f"expected {' or '.join(LISTS[name])}"
    return "expected " + " and ".join(" or ".join(names) for names in PAIRS[name])


def turns_of(row: Row, name: str, place: str) -> list[Turn]:
    """Return the turns of a row of any format but trees, without empty system messages.

    Raises:
        DataError: a field is missing or of another type, a role is unknown or out of turn.
    """
    found = _listed(row, name, place) if name in LISTS else _paired(row, name, place)
    turns = [turn for turn in found if turn.role != "system" or turn.text.strip()]
    before: str | None = None
    for turn in turns:
        if turn.role not in FOLLOWERS[before]:
            raise DataError(
                f"{turn.place}: role {turn.role!r}"
                f" {f'after {before!r}' if before else 'at the beginning'}; expected user and"
                " assistant in turn, with at most one system message before them"
            )
        before = turn.role
    return turns


def _listed(row: Row, name: str, place: str) -> Iterator[Turn]:
    key = _key(row, LISTS[name]) or LISTS[name][0]
    listed = field(row, key, list, place)
    if not listed:
        raise DataError(
            f"{place}: field {key!r} is empty; expected user and assistant in turn, or leave the"
            " row out"
        )
    if row.get("system") is not None:
        yield Turn("system", _text(row, "system", place), place)
    for number, turn in enumerate(listed):
        yield _turn(turn, f"{place}: {key}[{number}]")


def _paired(row: Row, name: str, place: str) -> Iterator[Turn]:
    asked, answered = (_key(row, names) or names[0] for names in PAIRS[name])
    if row.get("system") is not None:
        yield Turn("system", _text(row, "system", place), place)
    for number, pair in enumerate(row.get("history") or []):
        here = f"{place}: history[{number}]"
        if not isinstance(pair, list) or not all(isinstance(text, str) for text in pair):
            raise DataError(f"{here}: expected a question and its answer, found {pair!r:.60}")
        for role, text in zip(("user", "assistant"), pair, strict=False):
            yield Turn(role, text, here)
    for key, role in ((asked, "user"), (answered, "assistant")):
        value = row[key]
        if name == "prompt_completion" and isinstance(value, list):
            for number, turn in enumerate(value):
                yield _turn(turn, f"{place}: {key}[{number}]")
            continue
        text = field(row, key, str, place)
        more = _key(row, ("input", "context")) if name == "alpaca" and role == "user" else None
        if more and (added := _text(row, more, place)).strip():
            text = f"{text}\n\n{added}"
        yield Turn(role, text, place)


def _turn(turn: Any, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise DataError(f"{place}: expected an object with role and content, found {turn!r:.60}")
    role_key = next((key for key in ROLE_KEYS if key in turn), ROLE_KEYS[0])
    text_key = next((key for key in TEXT_KEYS if key in turn), TEXT_KEYS[0])
    named = field(turn, role_key, str, place)
    role = ROLE_OF.get(named.strip().lower())
    if role is None:
        raise DataError(
            f"{place}: field {role_key!r}: expected one of {', '.join(ROLE_OF)}, found {named!r}"
        )
    return Turn(role, _text(turn, text_key, place), place)


def _text(row: Row, key: str, place: str) -> str:
    """Return a text, also of null (nothing was said) and of a list of text parts."""
    value = row[key] if key in row else field(row, key, str, place)
    if value is None:
        return ""
    if not isinstance(value, list):
        return str(field(row, key, str, place))
    texts = []
    for number, part in enumerate(value):
        named = isinstance(part, dict)
        text = part.get("text") if named else part
        if not isinstance(text, str):
            kind = part.get("type") if named else type(part).__name__
            raise DataError(
                f"{place}: part {number} of field {key!r} is {kind!r}, expected"
                f" {TYPE_NAMES[str]}: models of this pipeline read text only"
            )
        texts.append(text)
    return str(field({key: "\n".join(texts)}, key, str, place))
