"""Check a source of the config before any work starts, in well under a second."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from lorabench.control.hub_access import find_hub_faults
from lorabench.data.benchmark import benchmark_data
from lorabench.data.conversations.formats import AUTO
from lorabench.data.conversations.reading import EMPTY, messages_of_row, source_files
from lorabench.data.models.checkpoint import checkpoint_files
from lorabench.data.sources.source import HubSource, PathSource, parse_source
from lorabench.data.tables import read_rows
from lorabench.errors import DataError, LorabenchError

# files up to this size are read whole
SMALL_BYTES = 20_000_000
# of larger ones
FIRST_ROWS = 200


def check_source(kind_of_data: str, source: Mapping[str, Any]) -> list[str]:
    """Return one line for each fault of a source that can be seen without fetching anything.

    Args:
        kind_of_data: "model", "conversations" or the name of a benchmark.
    """
    prompt, form = source.get("judge_prompt"), source.get("format", AUTO)
    more = ("judge_prompt", "format")
    try:
        origin = parse_source({key: value for key, value in source.items() if key not in more})
        if isinstance(origin, HubSource):
            return find_hub_faults(origin, "model" if kind_of_data == "model" else "dataset")
        if isinstance(origin, PathSource):
            if not origin.path.exists():
                return [f"path {str(origin.path)!r} does not exist (seen from {Path.cwd()})"]
            if kind_of_data == "conversations":
                _check_conversations(origin.path, form)
                return []
            if kind_of_data == "model":
                checkpoint_files(origin.path)
                return []
            benchmark_data(kind_of_data).read(origin.path)
            return _check_prompt(kind_of_data, origin.path, prompt)
    except LorabenchError as error:
        return [str(error)]
    return []


def _check_conversations(path: Path, form: str) -> None:
    """Read small files whole and the first rows of large ones."""
    rows = 0
    for file in source_files(path):
        limit = None if file.stat().st_size <= SMALL_BYTES else FIRST_ROWS
        for place, row in islice(read_rows(file), limit):
            rows += 1
            for _ in messages_of_row(row, None, place, form):
                pass
    if not rows:
        raise DataError(f"{path}: {EMPTY}")


def _check_prompt(benchmark: str, path: Path, source: Mapping[str, Any] | None) -> list[str]:
    """Check that the judge's prompts are at `path`, or that `source` says where to get them."""
    judge_prompt = benchmark_data(benchmark).judge_prompt
    if judge_prompt is None:
        return []
    name, read = judge_prompt.file, judge_prompt.read
    folder = path if path.is_dir() else path.parent
    if (folder / name).is_file():
        read(folder / name)
        return []
    if source is None:
        return [f"{folder}: no {name}; put it there or set judge_prompt to a source of it"]
    origin = parse_source(source)
    if isinstance(origin, HubSource):
        return find_hub_faults(origin, "dataset")
    if isinstance(origin, PathSource):
        read(origin.path / name if origin.path.is_dir() else origin.path)
    return []
