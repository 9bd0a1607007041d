"""What the data stage knows of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lorabench.benchmark_tables import find_benchmark
from lorabench.data.tables import Row


@dataclass(frozen=True, kw_only=True)
class JudgePrompt:
    """The file of a judge's prompts, which may have a separate source."""

    file: str
    # checks the file and returns what is published: rows of a JSON Lines file, or a text
    read: Callable[[Path], list[Row] | str]


@dataclass(frozen=True, kw_only=True)
class BenchmarkData:
    """How the files of a benchmark are read."""

    # folder or file of a source -> file to publish -> its rows
    read: Callable[[Path], dict[str, list[Row]]]
    # patterns of the files to take from a repository of the hub
    hub_files: tuple[str, ...]
    # the published file whose rows are scored
    items_file: str
    # such a row -> its id and the texts that must not be in the training data
    item_texts: Callable[[Row], tuple[str, list[str]]]
    judge_prompt: JudgePrompt | None = None


def benchmark_data(benchmark: str) -> BenchmarkData:
    """Return the table of a benchmark."""
    return find_benchmark("data", benchmark, BenchmarkData)
