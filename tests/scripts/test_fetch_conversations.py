"""fetch_conversations: whatever the source, flat messages and their record."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
from pyarrow import parquet

from fetch_conversations import fetch_conversations
from lorabench.files import read_jsonl, sha256_file

COMMIT = "fdf72ae0827c1cda404aff25b6603abec9e3399b"
CALL = """
import sys
from pathlib import Path
from fetch_conversations import fetch_conversations
settings = {"kind": "hub", "repo": "OpenAssistant/oasst1", "revision": sys.argv[1]}
fetch_conversations(samples=Path("unused"), source=Path(sys.argv[2]), settings=settings)
"""


def test_samples_become_messages_with_a_record(samples: Path, tmp_path: Path) -> None:
    """The record counts and hashes the messages; twice the same source gives the same bytes."""
    digests = []
    for name in ("first", "second"):
        source = tmp_path / name / "source.json"
        fetch_conversations(
            samples=samples / "oasst_trees.jsonl", source=source, settings={"kind": "built-in"}
        )
        record = json.loads(source.read_text())
        messages = source.parent / "messages.jsonl"
        assert record["rows"]["messages.jsonl"] == sum(1 for _ in read_jsonl(messages))
        assert record["sha256"]["messages.jsonl"] == sha256_file(messages)
        digests.append(record["sha256"])
    assert digests[0] == digests[1]


def test_real_trees_are_read(shared_data: Path, tmp_path: Path) -> None:
    """Exported OpenAssistant trees fit; every message of a tree is there."""
    source = tmp_path / "real" / "source.json"
    settings = {"kind": "path", "path": str(shared_data / "oasst")}
    fetch_conversations(samples=Path("unused"), source=source, settings=settings)
    rows = [row for _, row in read_jsonl(source.parent / "messages.jsonl")]
    assert len(rows) == 684
    assert len({row["message_tree_id"] for row in rows}) == 60
    assert {row["split"] for row in rows} == {None}


def test_hub_snapshot_is_read_from_the_cache(root: Path, tmp_path: Path) -> None:
    """The pinned parquet files of the hub's layout are read without a network, with their split."""
    snapshot = tmp_path / "hub" / "datasets--OpenAssistant--oasst1" / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    said = {"text": "x", "role": "prompter", "lang": "en", "user_id": "u"}
    for split in ("train", "validation"):
        row = {"message_id": split, "parent_id": None, "message_tree_id": split, **said}
        name = f"{split}-00000-of-00001-b42a775f407cee45.parquet"
        parquet.write_table(pyarrow.Table.from_pylist([row]), snapshot / "data" / name)
    hub = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment = os.environ | {"PYTHONPATH": str(root / "workflow" / "scripts"), **hub}
    source = tmp_path / "out" / "source.json"
    subprocess.run([sys.executable, "-c", CALL, COMMIT, str(source)], env=environment, check=True)
    rows = [row for _, row in read_jsonl(source.parent / "messages.jsonl")]
    splits = [("train", "train"), ("validation", "validation")]
    assert [(row["message_id"], row["split"]) for row in rows] == splits
    record = json.loads(source.read_text())
    assert (record["revision"], record["licence"]) == (COMMIT, "apache-2.0")
