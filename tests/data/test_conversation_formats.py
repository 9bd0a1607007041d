"""Data as people have them: every usual shape gives the same conversations."""

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
from lorabench.control.configuration import source, source_label
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, read_jsonl
from prepare_conversations import prepare_conversations
from sections import section

SETTINGS = section("prepare_conversations", validation_share=0.3)
USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
CHAT = [USER, ANSWER]
PAIR = {"instruction": "x", "output": "y"}
IMAGE = {"role": "user", "content": [{"type": "image_url"}]}


def write(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(path: Path, folder: Path, form: str = "auto") -> tuple[list[Any], dict[str, Any]]:
    """Check, fetch and prepare a source; return all conversations' messages and the summary."""
    settings = {"kind": "path", "path": str(path), "format": form}
    assert check_source("conversations", settings) == []
    fetch_conversations(samples=path, source=folder / "s" / "source.json", settings=settings)
    files = {name: folder / f"{name}.jsonl" for name in ("train", "validation", "audit")}
    messages, summary = folder / "s" / "messages.jsonl", folder / "summary.json"
    prepare_conversations(messages=messages, summary=summary, settings=SETTINGS, **files)
    rows = [row for name in ("train", "validation") for _, row in read_jsonl(files[name])]
    return [row["messages"] for row in rows], read_json(folder / "summary.json")


SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("messages", {"messages": CHAT}),
    "parts": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ANSWER]},
    ),
    "other roles": (
        "messages",
        {"messages": [{"role": "Human", "content": "Hi"}, {"role": "BOT", "content": "Hello."}]},
    ),
    "sharegpt": (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
    ),
    "alpaca": ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello."}),
    "dolly": ("alpaca", {"instruction": "Hi", "context": "", "response": "Hello."}),
    "completion": ("prompt_completion", {"prompt": "Hi", "completion": "Hello."}),
    "completion of messages": ("prompt_completion", {"prompt": [USER], "completion": [ANSWER]}),
    "with a prompt besides": ("messages", {"prompt": "Hi", "prompt_id": "x", "messages": CHAT}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("named", [False, True])
def test_every_shape_gives_the_same_conversation(shape: str, named: bool, tmp_path: Path) -> None:
    """Recognised by its keys, or named by `format`."""
    form, row = SHAPES[shape]
    path = write(tmp_path / "mine.jsonl", [row] * 20)
    conversations, summary = run(path, tmp_path, form if named else "auto")
    assert conversations == [CHAT] * 20
    assert summary["remarks"] == []


def test_an_alpaca_input_follows_its_instruction(tmp_path: Path) -> None:
    """Both are what the user said; a system message comes first."""
    row = {"instruction": "Sum up.", "input": "A text.", "output": "It is.", "system": "Be brief."}
    conversations, _ = run(write(tmp_path / "a.jsonl", [row] * 20), tmp_path)
    texts = [turn["content"] for turn in conversations[0]]
    assert texts == ["Be brief.", "Sum up.\n\nA text.", "It is."]


def test_an_empty_system_message_is_left_out(tmp_path: Path) -> None:
    """Case 9: all 40 conversations are kept, every other without its empty message."""
    empty = {"role": "system", "content": ""}
    rows = [{"messages": [empty, *CHAT] if number % 2 else CHAT} for number in range(40)]
    conversations, summary = run(write(tmp_path / "a.jsonl", rows), tmp_path)
    assert conversations == [CHAT] * 40
    assert sum(split["kept"] for split in summary["splits"].values()) == 40


@pytest.mark.parametrize("ids", [None, "same"])
def test_two_files_without_ids_are_two_splits(ids: str | None, tmp_path: Path) -> None:
    """Case 10: rows have no id, or both files count from the same one; nothing collides."""
    for name, count in (("train", 6), ("validation", 3)):
        row = {"messages": CHAT} | ({"id": ids} if ids else {})
        write(tmp_path / f"{name}.jsonl", [row] * count)
    conversations, summary = run(tmp_path, tmp_path / "out")
    assert len(conversations) == 9
    assert [summary["splits"][name]["kept"] for name in ("train", "validation")] == [6, 3]
    names = {row["id"] for _, row in read_jsonl(tmp_path / "out" / "audit.jsonl")}
    assert len(names) == 9


@pytest.mark.parametrize(
    "name", ["train.jsonl", "a.json", "lines.json", "a.jsonl.gz", "a.parquet", "test.jsonl"]
)
def test_one_file_of_any_kind_is_divided(name: str, tmp_path: Path) -> None:
    """validation_share divides any kind of file; marks of encoding are no text."""
    rows = [{"messages": CHAT, "id": None}] * 30
    lines = "\ufeff" + "".join(json.dumps(row) + "\r\n" for row in rows)
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif name.endswith(".parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name == "a.json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text(lines, encoding="utf-8", newline="")
    conversations, summary = run(path, tmp_path / "out")
    assert conversations == [CHAT] * 30
    assert all(split["kept"] for split in summary["splits"].values())


def test_what_is_lost_is_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both are counted, and above a twentieth said in the log and the summary."""
    null = {"role": "assistant", "content": None}
    rows: list[Any] = [{"messages": CHAT}] * 20
    rows += [{"messages": [*CHAT, USER]}] * 10 + [{"messages": [USER, null]}] * 10
    conversations, summary = run(write(tmp_path / "a.jsonl", rows), tmp_path)
    assert conversations == [CHAT] * 30
    splits = summary["splits"].values()
    assert sum(split["dropped"]["no_answered_prompt"] for split in splits) == 10
    for what in ("conversations", "messages"):
        assert sum(split["cut"][what] for split in splits) == 10
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == summary["remarks"] and len(said) == 4
    assert re.search(r"\d+ of \d+ train conversations \(\d+%\) were dropped: no answered", said[0])


def test_test_files_are_not_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """train, val and test in one folder: the last is left out with a word."""
    for name in ("chat_train", "chat_val", "chat_test"):
        write(tmp_path / f"{name}.jsonl", [{"messages": CHAT}] * 2)
    conversations, summary = run(tmp_path, tmp_path / "out")
    assert len(conversations) == 4 and summary["splits"]["validation"]["kept"] == 2
    assert "not read: chat_test.jsonl" in caplog.text


@pytest.mark.parametrize(
    ("row", "form", "message"),
    [
        ({"messages": CHAT, **PAIR}, "auto", "fit messages and alpaca; say which with `format: m"),
        ({"text": "x"}, "auto", "expected a conversation tree .*found text"),
        ({"messages": CHAT}, "sharegpt", "not of format sharegpt: expected conversations"),
        ({"conversations": []}, "auto", "field 'conversations' is empty"),
        ({"prompt": "x", "completion": 3}, "auto", "field 'completion': expected text, found 3"),
        ({"messages": [IMAGE, ANSWER]}, "auto", "part 0 of field 'content' is 'image_url'"),
        ({**PAIR, "history": ["z"]}, "auto", r"history\[0\]: expected"),
    ],
)
def test_what_is_unclear_is_refused_with_its_line(
    row: Any, form: str, message: str, tmp_path: Path
) -> None:
    """Before the run and in the job, with what to set."""
    path = write(tmp_path / "a.jsonl", [row])
    settings = {"kind": "path", "path": str(path), "format": form}
    [fault] = check_source("conversations", settings)
    assert re.search(message, fault) and "a.jsonl:1" in fault
    with pytest.raises(DataError, match=message):
        fetch_conversations(samples=path, source=tmp_path / "o" / "s.json", settings=settings)


def test_formats_have_their_own_folders() -> None:
    """Two runs of a sweep that read one file differently do not overwrite each other's."""
    entry = {"kind": "path", "path": "a.jsonl", "format": "auto", "repo": "left over"}
    assert source(entry) == {"kind": "path", "path": "a.jsonl", "format": "auto"}
    assert source_label(entry) != source_label(entry | {"format": "alpaca"})


def test_nothing_left_is_said_with_counts(tmp_path: Path) -> None:
    """A file in which no prompt is answered."""
    with pytest.raises(ConfigurationError, match="no_answered_prompt 1"):
        run(write(tmp_path / "a.jsonl", [{"messages": [USER]}] * 3), tmp_path)
