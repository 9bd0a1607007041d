"""Read conversations of every accepted schema as flat messages, the one form that preparation
reads.

Accepted, by the keys of a row: conversation trees with nested replies (`prompt`), flat messages of
trees (`message_id`; both are OpenAssistant's, arXiv 2304.07327), and plain conversations
(`messages`: list of role and content).
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorabench.data.sources.source import HubSource, Source
from lorabench.data.tables import Row, field, optional, read_rows
from lorabench.errors import DataError

logger = logging.getLogger(__name__)

OASST1 = "OpenAssistant/oasst1"
OASST1_TREES = {
    "train": 9846,
    "validation": 518,
    # 10,364 in all, as the data set's card says; before any filter
}
HUB_FILES = ("data/*.parquet", "*.parquet", "README.md")
PATTERNS = ("data/*.parquet", "*.parquet", "*.jsonl", "*.jsonl.gz")
EMPTY = "holds no conversation; expected one JSON object a line (or a row), with messages or a tree"
SPLITS = ("train", "validation")
ROLES = {"user": "prompter", "prompter": "prompter", "assistant": "assistant", "system": "system"}

# Role of a plain conversation's message -> roles that may come next; None = its beginning.
FOLLOWERS: dict[str | None, tuple[str, ...]] = {
    None: ("system", "prompter"),
    "system": ("prompter",),
    "prompter": ("assistant",),
    "assistant": ("prompter",),
}


def source_files(path: Path) -> list[Path]:
    """Return the data files that `path` is or holds, train before validation.

    Raises:
        DataError: none there.
    """
    if not path.is_dir():
        return [path]
    for pattern in PATTERNS:
        found = [file for file in path.glob(pattern) if file.is_file()]
        if found:
            return sorted(found, key=lambda file: (_split_of(file) == "validation", file.name))
    raise DataError(f"{path}: no conversations; expected one of {', '.join(PATTERNS)}")


def read_messages(path: Path) -> Iterator[Row]:
    """Yield the flat messages of a file or folder in source order; parents come before their
    replies.

    Each has message_id, parent_id, message_tree_id, tree_state, text, role, lang, review_result,
    deleted, rank, synthetic, created_date, labels (name -> value) and split (null where the source
    has none). User ids are dropped.

    Raises:
        DataError: a file is missing, a row fits none of the schemas (file, line, field), an id
            occurs twice, or there
            is no row at all.
    """
    seen: set[str] = set()
    for file in source_files(path):
        split = _split_of(file)
        for place, row in read_rows(file):
            for message in messages_of_row(row, split, place):
                if message["message_id"] in seen:
                    raise DataError(
                        f"{place}: message_id {message['message_id']!r} is already taken by an"
                        " earlier row"
                    )
                seen.add(message["message_id"])
                yield message
    if not seen:
        raise DataError(f"{path}: {EMPTY}")


def check_trees(source: Source, messages: Iterable[Row]) -> None:
    """Warn where oasst1 from the hub has other trees than those published: what is known of it may
    not hold then."""
    if not isinstance(source, HubSource) or source.repo != OASST1:
        return
    found = Counter({message["message_tree_id"]: message["split"] for message in messages}.values())
    if found != OASST1_TREES:
        counts = " and ".join(
            f"{found[split]:,} {split} trees (expected {number:,})"
            for split, number in OASST1_TREES.items()
        )
        logger.warning(
            "%s@%s holds %s: another revision, or files are missing",
            source.repo,
            source.revision,
            counts,
        )


def messages_of_row(row: Row, split: str | None, place: str) -> Iterator[Row]:
    """Yield the flat messages of one row of any schema.

    Raises:
        DataError: the row fits none of them.
    """
    if "prompt" in row and "message_tree_id" in row:
        yield from _tree_messages(row, split, place)
    elif "messages" in row:
        yield from _plain_messages(row, split, place)
    elif "message_id" in row:
        yield _message(row, row, split, place)
    else:
        raise DataError(
            f"{place}: expected a conversation tree (message_tree_id, prompt), a flat message"
            " (message_id, parent_id) or a conversation (messages); found"
            f" {', '.join(map(str, row)) or 'nothing'}"
        )


def _split_of(file: Path) -> str | None:
    """Return the split that a file's name begins with, e.g. train-00000-of-00001.parquet."""
    return next((split for split in SPLITS if file.name.startswith(split)), None)


def _tree_messages(tree: Row, split: str | None, place: str) -> Iterator[Row]:
    """Yield the messages of a tree with nested replies."""
    shared = {
        "message_tree_id": field(tree, "message_tree_id", str, place),
        "tree_state": tree.get("tree_state"),
    }
    waiting: list[tuple[Row, str | None]] = [(field(tree, "prompt", dict, place), None)]
    while waiting:
        node, parent = waiting.pop(0)
        if not isinstance(node, dict):
            raise DataError(
                f"{place}: field 'replies': expected a list of messages, found {node!r:.60}"
            )
        message = _message(node | {"parent_id": parent}, shared, split, place)
        yield message
        replies = optional(node, "replies", list, f"{place}: message {message['message_id']}") or []
        waiting += [(reply, message["message_id"]) for reply in replies]


def _plain_messages(row: Row, split: str | None, place: str) -> Iterator[Row]:
    """Yield the messages of a plain conversation as a tree with one path, named by its place in the
    file."""
    tree = str(row.get("id") or f"row-{place.rsplit(':', 1)[-1].removeprefix(' row ')}")
    language = row.get("language") or row.get("lang") or "und"
    turns = field(row, "messages", list, place)
    if not turns:
        raise DataError(
            f"{place}: field 'messages' is empty; expected user and assistant in turn, or leave the"
            " row out"
        )
    before: str | None = None
    for number, turn in enumerate(turns):
        here = f"{place}: messages[{number}]"
        if not isinstance(turn, dict):
            raise DataError(f"{here}: expected an object with role and content, found {turn!r:.60}")
        role = field(turn, "role", str, here)
        if role in ROLES and ROLES[role] not in FOLLOWERS[before and ROLES[before]]:
            raise DataError(
                f"{here}: role {role!r} {f'after {before!r}' if before else 'at the beginning'};"
                " expected user and assistant in turn, with at most one system message before them"
            )
        before = role
        node = {
            "message_id": f"{tree}/{number}",
            "parent_id": f"{tree}/{number - 1}" if number else None,
            "text": field(turn, "content", str, here),
            "role": role,
            "lang": language,
        }
        yield _message(node, {"message_tree_id": tree}, split or row.get("split"), here)


def _message(node: Row, shared: Row, split: str | None, place: str) -> Row:
    """Return one canonical message; `shared` holds what belongs to its tree."""
    identity = field(node, "message_id", str, place)
    here = f"{place}: message {identity}"
    role = field(node, "role", str, here)
    if role not in ROLES:
        raise DataError(f"{here}: field 'role': expected one of {', '.join(ROLES)}, found {role!r}")
    split = split or node.get("split")
    if split not in (None, *SPLITS):
        raise DataError(
            f"{here}: field 'split': expected train, validation or null, found {split!r}"
        )
    return {
        "message_id": identity,
        "parent_id": optional(node, "parent_id", str, here),
        "message_tree_id": field(shared, "message_tree_id", str, here),
        "tree_state": optional(shared, "tree_state", str, here),
        "text": field(node, "text", str, here),
        "role": ROLES[role],
        "lang": field(node, "lang", str, here),
        "review_result": optional(node, "review_result", bool, here),
        "deleted": bool(optional(node, "deleted", bool, here)),
        "rank": optional(node, "rank", int, here),
        "synthetic": bool(optional(node, "synthetic", bool, here)),
        "created_date": optional(node, "created_date", str, here),
        "labels": _labels(node.get("labels"), here),
        "split": split,
    }


def _labels(labels: Any, place: str) -> dict[str, float]:
    """Return label name -> mean value, from the parquet form (parallel lists) or the tree form
    (objects by name)."""
    if not labels:
        return {}
    try:
        if "name" in labels:
            values = dict(zip(labels["name"], labels["value"], strict=True))
        else:
            values = {name: entry["value"] for name, entry in labels.items()}
        numbers = {name: float(values[name]) for name in sorted(values)}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError
        return numbers
    except (AttributeError, TypeError, KeyError, ValueError):
        raise DataError(
            f"{place}: field 'labels': expected names with values, found {labels!r:.60}"
        ) from None
