"""Read conversations of every accepted format as flat messages.

Accepted are conversation trees with nested replies and flat messages of trees (OpenAssistant's,
arXiv 2304.07327), and the plain conversations of `formats`.
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorabench.data.conversations.formats import AUTO, recognise, turns_of
from lorabench.data.sources.source import HubSource, Source
from lorabench.data.tables import Row, field, optional, read_rows
from lorabench.errors import DataError

logger = logging.getLogger(__name__)

OASST1 = "OpenAssistant/oasst1"
# 10,364 in all, as the data set's card says; before any filter
OASST1_TREES = {"train": 9846, "validation": 518}
# The first group with any file counts.
PATTERNS = (
    ("data/*.parquet",),
    ("*.parquet",),
    ("*.jsonl", "*.jsonl.gz"),
    ("data/*.jsonl", "data/*.jsonl.gz"),
    ("*.json",),
    ("data/*.json",),
)
# What to fetch of a data set on the hub: parquet files where it has some, else the other files.
HUB_FILES = ("data/*.parquet", "*.parquet", "README.md")
MORE_HUB_FILES = tuple(pattern for group in PATTERNS for pattern in group)
# Not data, though their names end like it.
DESCRIBING = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "source.json")
EMPTY = "holds no conversation; expected one JSON object a line (or a row), with messages or a tree"
SPLITS = ("train", "validation")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    "test": "test",
}
ROLES = {"user": "prompter", "prompter": "prompter", "assistant": "assistant", "system": "system"}


def source_files(path: Path) -> list[Path]:
    """Return the data files that `path` is or holds, train before validation, test files left out.

    Raises:
        DataError: the folder has no data file.
    """
    if not path.is_dir():
        return [path]
    groups = [
        [
            file
            for pattern in group
            for file in path.glob(pattern)
            if file.is_file() and file.name not in DESCRIBING
        ]
        for group in PATTERNS
    ]
    found = next((group for group in groups if group), [])
    chosen = [file for file in found if _split_of(file) != "test"]
    if not chosen:
        expected = ", ".join(MORE_HUB_FILES)
        raise DataError(f"{path}: no conversations; expected one of {expected}")
    left = {file.name for group in groups for file in group} - {file.name for file in chosen}
    if left:
        logger.warning("%s: not read: %s", path, ", ".join(sorted(left)))
    return sorted(chosen, key=lambda file: (_split_of(file) == "validation", file.name))


def holds_data(path: Path) -> bool:
    """Return whether a folder has a file that can be read."""
    return any(any(path.glob(pattern)) for pattern in MORE_HUB_FILES)


def read_messages(path: Path, form: str = AUTO) -> Iterator[Row]:
    """Yield the flat messages of a file or folder, parents before their replies.

    Each has message_id, parent_id, message_tree_id, tree_state, text, role, lang, review_result,
    deleted, rank, synthetic, created_date, labels (name -> value) and split (null where the source
    has none). User ids are dropped.

    Raises:
        DataError: a file is missing, a row fits none of the formats (file, line, field), the id of
            a tree's message occurs twice, or there is no row at all.
    """
    seen: set[str] = set()
    names: set[str] = set()
    files = source_files(path)
    for file in files:
        # a test file that is given by itself is data like any other
        split = None if _split_of(file) == "test" else _split_of(file)
        prefix = f"{file.name}/" if len(files) > 1 else ""
        for place, row in read_rows(file):
            name = _conversation_name(row, place, prefix, names)
            names.add(name)
            for message in messages_of_row(row, split, place, form, name):
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
    """Warn where oasst1 from the hub has other trees than those published."""
    if not isinstance(source, HubSource) or source.repo != OASST1:
        return
    found = Counter({message["message_tree_id"]: message["split"] for message in messages}.values())
    if found != OASST1_TREES:
        counts = " and ".join(
            f"{found[split]:,} {split} trees (expected {number:,})"
            for split, number in OASST1_TREES.items()
        )
        words = "%s@%s holds %s: another revision, or files are missing"
        logger.warning(words, source.repo, source.revision, counts)


def messages_of_row(
    row: Row, split: str | None, place: str, form: str = AUTO, name: str = "row"
) -> Iterator[Row]:
    """Yield the flat messages of one row; `name` is that of a plain conversation.

    Raises:
        DataError: the row fits none of the formats, or not `form`.
    """
    found = recognise(row, form, place)
    if found != "trees":
        yield from _plain_messages(row, found, split, place, name)
    elif "message_tree_id" in row and "prompt" in row:
        yield from _tree_messages(row, split, place)
    else:
        yield _message(row, row, split, place)


def _conversation_name(row: Row, place: str, prefix: str, taken: set[str]) -> str:
    """Return the id of a plain conversation if no other has it, else its place in the file."""
    number = f"{prefix}row-{place.rsplit(':', 1)[-1].removeprefix(' row ')}"
    given = row.get("id")
    if given is None or given == "":
        return number
    return str(given) if str(given) not in taken else f"{given}#{number}"


def _split_of(file: Path) -> str | None:
    """Return the split that a file's name begins or ends with, e.g. chats_val.jsonl."""
    parts = re.split(r"[-_ ]", file.name.partition(".")[0].lower())
    return SPLIT_NAMES.get(parts[0]) or SPLIT_NAMES.get(parts[-1])


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


def _plain_messages(row: Row, form: str, split: str | None, place: str, tree: str) -> Iterator[Row]:
    """Yield the messages of a plain conversation as a tree with one path."""
    language = row.get("language") or row.get("lang") or "und"
    for number, turn in enumerate(turns_of(row, form, place)):
        node = {
            "message_id": f"{tree}/{number}",
            "parent_id": f"{tree}/{number - 1}" if number else None,
            "text": turn.text,
            "role": turn.role,
            "lang": language,
        }
        yield _message(node, {"message_tree_id": tree}, split or row.get("split"), turn.place)


def _message(node: Row, shared: Row, split: str | None, place: str) -> Row:
    """Return one canonical message; `shared` holds what belongs to its tree."""
    identity = field(node, "message_id", str, place)
    here = f"{place}: message {identity}"
    role = field(node, "role", str, here)
    if role not in ROLES:
        raise DataError(f"{here}: field 'role': expected one of {', '.join(ROLES)}, found {role!r}")
    split = split or node.get("split")
    split = SPLIT_NAMES.get(split, split) if isinstance(split, str) else split
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
    """Return label name -> mean value, from the parquet form (lists) or the tree form (objects)."""
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
