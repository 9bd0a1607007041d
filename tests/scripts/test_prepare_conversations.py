"""prepare_conversations: files that other stages read, and their summary."""

import os
from pathlib import Path
from typing import Any

import pytest

from fetch_conversations import fetch_conversations
from lorabench.documents.conversation import Conversation
from lorabench.files import read_json, read_jsonl, sha256_file
from prepare_conversations import prepare_conversations
from sections import section

SETTINGS = section("prepare_conversations", validation_share=0.2)


def prepare_into(folder: Path, messages: Path, **changes: Any) -> dict[str, Any]:
    """Run the script's function and return the summary."""
    files = {name: folder / f"{name}.jsonl" for name in ("train", "validation", "audit")}
    summary, settings = folder / "summary.json", SETTINGS | changes
    prepare_conversations(messages=messages, summary=summary, settings=settings, **files)
    return dict(read_json(summary))


@pytest.fixture
def messages(samples: Path, tmp_path: Path) -> Path:
    """Return the flat messages of the samples."""
    source = tmp_path / "source" / "source.json"
    fetch_conversations(
        samples=samples / "oasst_trees.jsonl", source=source, settings={"kind": "built-in"}
    )
    return source.parent / "messages.jsonl"


def test_every_tree_is_kept_or_explained(messages: Path, tmp_path: Path) -> None:
    """The audit has one row a tree; kept ones are in the data files."""
    summary = prepare_into(tmp_path / "data", messages)
    audit = [row for _, row in read_jsonl(tmp_path / "data" / "audit.jsonl")]
    trees = {row["message_tree_id"] for _, row in read_jsonl(messages)}
    assert sorted(row["id"] for row in audit) == sorted(trees)
    for split in ("train", "validation"):
        file, counts = tmp_path / "data" / f"{split}.jsonl", summary["splits"][split]
        kept = [Conversation(**row) for _, row in read_jsonl(file)]
        named = [row["id"] for row in audit if row["kept"] and row["split"] == split]
        assert [item.id for item in kept] == named
        assert all(item.messages[-1]["role"] == "assistant" for item in kept)
        assert counts["trees"] == counts["kept"] + sum(counts["dropped"].values())
        assert summary["sha256"][file.name] == sha256_file(file)


def test_hashes_depend_on_content_only(messages: Path, tmp_path: Path) -> None:
    """Other file times and another folder give the same hashes; another setting gives others."""
    first = prepare_into(tmp_path / "first", messages)
    os.utime(messages, (0, 0))
    assert prepare_into(tmp_path / "second", messages)["sha256"] == first["sha256"]
    assert prepare_into(tmp_path / "third", messages, languages=["en"])["sha256"] != first["sha256"]


def test_real_trees_give_one_conversation_each(shared_data: Path, tmp_path: Path) -> None:
    """All 60 exported trees have an answered prompt; four have no answer written by people."""
    source = tmp_path / "real" / "source.json"
    settings = {"kind": "path", "path": str(shared_data / "oasst" / "trees.jsonl")}
    fetch_conversations(samples=Path("unused"), source=source, settings=settings)
    for exclude, expected in ((False, 60), (True, 56)):
        folder = tmp_path / f"exclude-{exclude}"
        summary = prepare_into(folder, source.parent / "messages.jsonl", exclude_synthetic=exclude)
        assert sum(split["kept"] for split in summary["splits"].values()) == expected
