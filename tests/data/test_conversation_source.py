"""Conversation sources: every shape becomes the same flat messages."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from fetch_conversations import fetch_conversations
from lorabench.control.check_source import check_source
from lorabench.data.conversations.reading import OASST1, check_trees, read_messages
from lorabench.data.sources.source import HubSource, PathSource, Source
from lorabench.errors import DataError

PROMPT: dict[str, Any] = {
    "message_id": "p",
    "user_id": "somebody",
    "text": "Why?",
    "role": "prompter",
    "lang": "en",
    "review_result": True,
    "deleted": False,
    "rank": None,
    "synthetic": False,
    "created_date": "2023-01-01T00:00:00+00:00",
}
ANSWER = PROMPT | {"message_id": "a", "text": "So.", "role": "assistant", "rank": 0}
TREE = {"message_tree_id": "p", "tree_state": "ready_for_export"}
TREE_LABELS = {"toxicity": {"value": 0.25, "count": 3}, "quality": {"value": 0.75, "count": 3}}
FLAT_LABELS = {"name": ["toxicity", "quality"], "value": [0.25, 0.75], "count": [3, 3]}


def as_tree() -> dict[str, Any]:
    """Return the conversation as a tree with nested replies."""
    return TREE | {
        "prompt": PROMPT | {"replies": [ANSWER | {"labels": TREE_LABELS, "replies": []}]}
    }


def as_flat() -> list[dict[str, Any]]:
    """Return the conversation as flat rows of the hub."""
    return [
        PROMPT | TREE | {"parent_id": None, "labels": None},
        ANSWER | TREE | {"parent_id": "p", "labels": FLAT_LABELS},
    ]


def tree_with(**changes: Any) -> dict[str, Any]:
    """Return a tree of one prompt with these changes."""
    return TREE | {"prompt": PROMPT | {"message_id": "q", **changes}}


def plain(*roles: str) -> dict[str, Any]:
    """Return a plain conversation with these roles."""
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


def write(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_trees_and_flat_rows_of_a_conversation_agree(tmp_path: Path) -> None:
    """JSON Lines of trees or messages, compressed or not, and parquet give equal messages."""
    trees = write(tmp_path / "trees.jsonl", [as_tree()])
    flat = write(tmp_path / "flat.jsonl", as_flat())
    with gzip.open(tmp_path / "trees.jsonl.gz", "wt") as file:
        file.write(trees.read_text())
    parquet.write_table(pyarrow.Table.from_pylist(as_flat()), tmp_path / "flat.parquet")
    expected = list(read_messages(trees))
    for path in (flat, tmp_path / "trees.jsonl.gz", tmp_path / "flat.parquet"):
        assert list(read_messages(path)) == expected
    assert expected[1]["labels"] == {"quality": 0.75, "toxicity": 0.25}


def test_no_user_id_is_kept(tmp_path: Path) -> None:
    """Who wrote a message is not carried along."""
    messages = list(read_messages(write(tmp_path / "trees.jsonl", [as_tree()])))
    assert "user_id" not in messages[0]
    assert "somebody" not in json.dumps(messages)


def test_split_comes_from_the_hubs_file_names(tmp_path: Path) -> None:
    """The files of data/ divide the trees as their authors did, training first."""
    (tmp_path / "data").mkdir()
    for split in ("validation", "train"):
        rows = [
            row | {"message_id": f"{split}-{row['message_id']}", "message_tree_id": split}
            for row in as_flat()
        ]
        rows[1]["parent_id"] = rows[0]["message_id"]
        parquet.write_table(
            pyarrow.Table.from_pylist(rows),
            tmp_path / "data" / f"{split}-00000-of-00001-ab.parquet",
        )
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    splits = [message["split"] for message in read_messages(tmp_path)]
    assert splits == ["train"] * 2 + ["validation"] * 2


def test_plain_conversations_become_trees_of_one_path(tmp_path: Path) -> None:
    """Any JSON Lines of `messages` can be used; system messages are kept."""
    turns = plain("system", "user", "assistant")
    path = write(tmp_path / "mine.jsonl", [turns, {"id": "x", "language": "de", **turns}])
    messages = list(read_messages(path))
    assert [message["message_tree_id"] for message in messages] == ["row-1"] * 3 + ["x"] * 3
    assert [message["role"] for message in messages[:3]] == ["system", "prompter", "assistant"]
    assert [message["parent_id"] for message in messages[3:]] == [None, "x/0", "x/1"]
    assert (messages[0]["lang"], messages[3]["lang"]) == ("und", "de")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, r"a.jsonl:2: expected a conversation tree .*found text"),
        ([1], "a.jsonl:2: expected a JSON object, found list"),
        (TREE | {"prompt": {"message_id": "q"}}, "a.jsonl:2: message q: field 'role' is missing"),
        (tree_with(role="bot"), "field 'role': expected one of .*found 'bot'"),
        (tree_with(text=None), "message q: field 'text': expected text, found None"),
        (tree_with(text="\ud800"), "half of a surrogate pair"),
        (tree_with(rank="0"), "field 'rank': expected an integer, found '0'"),
        (tree_with(labels={"quality": 1}), "field 'labels': expected names"),
        (tree_with(replies=["x"]), "field 'replies': expected a list of messages"),
        ({"messages": [{"role": "user"}]}, r"a.jsonl:2: messages\[0\]: field 'content' is missing"),
        (plain("tool"), "field 'role': expected one of .*found 'tool'"),
        ({}, "a.jsonl:2: expected a conversation tree .*found nothing"),
        ({"messages": []}, "a.jsonl:2: field 'messages' is empty; expected user and assistant"),
        (plain("user", "user", "assistant"), r"a.jsonl:2: messages\[1\]: role 'user' after 'user'"),
        (plain("assistant", "user"), r"role 'assistant' at the beginning; expected user and assis"),
        (plain("user", "system"), "role 'system' after 'user'; .* at most one system message"),
        (tree_with(labels="high"), "field 'labels': expected names"),
        (tree_with(replies=3), "field 'replies': expected a list, found 3"),
        (tree_with(labels={"quality": {"value": float("nan")}}), "field 'labels': expected names"),
        ({"messages": "hi"}, "a.jsonl:2: field 'messages': expected a list, found 'hi'"),
        (as_tree(), "a.jsonl:2: message_id 'p' is already taken"),
    ],
)
def test_wrong_row_is_named(tmp_path: Path, row: Any, message: str) -> None:
    """The message says which file, which line and which field."""
    path = write(tmp_path / "a.jsonl", [as_tree(), row])
    with pytest.raises(DataError, match=message):
        list(read_messages(path))


GOOD = json.dumps(plain("user", "assistant")).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "a.jsonl: holds no conversation; expected one JSON object a line"),
        ("a.jsonl", b"\n \n", "a.jsonl: holds no conversation"),
        ("a.jsonl", GOOD + b'{"messages": [}', r"a.jsonl:2: not JSON \(Expecting value\)"),
        ("a.jsonl", GOOD + b'{"messages": "\xff"}', r"a.jsonl:2: not UTF-8 \(byte 15 of the line"),
        ("a.jsonl", GOOD.decode().encode("utf-16"), "a.jsonl:1: not UTF-8"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: JSON nested too deeply"),
        ("a.jsonl", b'{"id": ' + b"9" * 5000 + b"}", "a.jsonl:1: JSON that cannot be read"),
        ("a.jsonl.gz", GOOD, "a.jsonl.gz: cannot be read"),
        ("a.jsonl.gz", gzip.compress(GOOD * 99, mtime=0)[:50], "a.jsonl.gz: cannot be read"),
        ("a.jsonl.gz", gzip.compress(GOOD, mtime=0)[:12] + b"\xff" * 40, "gz: cannot be read"),
        ("a.parquet", b"PAR1", "a.parquet: not a readable parquet file"),
        ("a.txt", GOOD, "a.txt: expected a .jsonl"),
    ],
)
def test_broken_file_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """Before the run and in the job: which line, what is wrong; no file is half written."""
    path = tmp_path / name
    path.write_bytes(content)
    settings = {"kind": "path", "path": str(path)}
    [fault] = check_source("conversations", settings)
    assert re.search(message, fault)
    assert "\n" not in fault
    source = tmp_path / "out" / "source.json"
    with pytest.raises(DataError, match=message):
        fetch_conversations(samples=path, source=source, settings=settings)
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_a_folder_in_place_of_a_file_is_searched(tmp_path: Path) -> None:
    """A folder that is named like a file is a folder: what it lacks is named."""
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(DataError, match=r"a.jsonl: no conversations; expected one of"):
        list(read_messages(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("source", "trees", "warning"),
    [
        (HubSource(repo=OASST1, revision="a" * 40), {"train": 9846, "validation": 518}, None),
        (
            HubSource(repo=OASST1, revision="a" * 40),
            {"train": 9846},
            (
                f"{OASST1}@{'a' * 40} holds 9,846 train trees (expected 9,846) and 0 validation"
                " trees (expected 518): another revision, or files are missing"
            ),
        ),
        (HubSource(repo="somebody/else", revision="a" * 40), {"train": 1}, None),
        (PathSource(path=Path("mine.jsonl")), {"train": 1}, None),
    ],
)
def test_other_trees_than_published_are_told(
    source: Source, trees: dict[str, int], warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Trees of oasst1 are counted, not messages; nothing is expected of other sources."""
    messages = [
        {"message_tree_id": f"{split}-{number}", "split": split}
        for split, count in trees.items()
        for number in range(count)
        for _ in range(2)
    ]
    check_trees(source, messages)
    assert [record.getMessage() for record in caplog.records] == ([warning] if warning else [])
