"""Sources of the config: what is accepted; a folder is replaced whole or not at all."""

import json
from pathlib import Path

import pytest

from lorabench.data.sources.source import BuiltInSource, WheelSource, write_record
from lorabench.staging import staging_folder

COMMIT, DIGEST = "a" * 40, "b" * 64


def test_failed_fetch_leaves_the_old_folder(tmp_path: Path) -> None:
    """Nothing of a failed fetch is seen, and nothing is left behind."""
    record = tmp_path / "model" / "source.json"
    record.parent.mkdir()
    record.write_text("old")
    with pytest.raises(OSError, match="disk"), staging_folder(record) as staging:
        (staging / "weights").write_text("half")
        raise OSError("disk full")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "source.json"]
    assert record.read_text() == "old"


def test_new_files_replace_all_old_ones(tmp_path: Path) -> None:
    """Old files and what a killed fetch left disappear."""
    record = tmp_path / "model" / "source.json"
    (record.parent / "shards").mkdir(parents=True)
    (record.parent / "old.bin").write_text("old")
    (tmp_path / ".model.part").mkdir()
    (tmp_path / ".model.part" / "half").write_text("left by a killed job")
    with staging_folder(record) as staging:
        (staging / "new.bin").write_text("new")
        (staging / "link").symlink_to(staging / "new.bin")
        write_record(BuiltInSource(), staging, rows={}, licence=None)
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["link", "model", "new.bin", "source.json"]


def test_record_names_origin_and_hashes(tmp_path: Path) -> None:
    """source.json has the wheel's hash and those of the files."""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    wheel = WheelSource(package="some-data", version="1.0", sha256=DIGEST, member="x")
    write_record(wheel, tmp_path, rows={"rows.jsonl": 1}, licence="MIT")
    record = json.loads((tmp_path / "source.json").read_text())
    assert record == {
        "schema_version": 1,
        "kind": "wheel",
        "origin": "some-data==1.0",
        "revision": "1.0",
        "sha256": {
            "rows.jsonl": "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
            "some_data-1.0-py3-none-any.whl": DIGEST,
        },
        "rows": {"rows.jsonl": 1},
        "licence": "MIT",
    }
