"""Arguments of a rule's function from Snakemake's object, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards

from lorabench.arguments import Folder, arguments_of
from lorabench.errors import ConfigurationError


def entries(kind: type, unnamed: Sequence[str] = (), **values: Any) -> Any:
    """Return Snakemake's own list of entries; lists become named slices, as in its rules."""
    made = kind(toclone=list(unnamed))
    for name, value in values.items():
        start = len(made)
        if isinstance(value, list):
            made.extend(value)
            made._set_name(name, start, end=len(made))
        else:
            made.append(value)
            made._add_name(name)
    return made


def job(**places: Any) -> SimpleNamespace:
    """Return what Snakemake gives to the script of a rule."""
    return SimpleNamespace(
        input=places.get("input", entries(InputFiles)),
        output=places.get("output", entries(OutputFiles)),
        params=places.get("params", entries(Params)),
        wildcards=places.get("wildcards", entries(Wildcards)),
        resources=entries(ResourceList, attempt=2),
        log=entries(Log, ["logs/rule.log"]),
        threads=3,
    )


@dataclass
class Variant:
    """What a rule names in parts and a function takes whole."""

    variant: str
    source: Path
    adapter: Path | None


def everything(
    *,
    weights: Variant,
    data: Folder,
    merged: Folder | None,
    files: Sequence[Path],
    none: list[Path],
    tables: Mapping[str, Path],
    shard: int,
    settings: dict[str, Any],
    threads: int,
    log: Path,
    attempt: int = 1,
    more: str = "default",
) -> None:
    """Take a parameter of each kind."""


def test_each_type_hint_says_what_is_made_of_an_entry() -> None:
    """Files, folders, lists, tables, wildcards, dataclasses, resources and defaults."""
    given = job(
        input=entries(
            InputFiles,
            source="m/source.json",
            adapter=[],
            data=["d/a", "d/b"],
            merged="r/x.json",
            files=["a", "b"],
            none=[],
        ),
        output=entries(OutputFiles, tables=["perf/base.json", "perf/lora.json"]),
        params=entries(Params, settings={"k": 1}, code="hash"),
        wildcards=entries(Wildcards, shard="4", variant="base", run="demo"),
    )
    assert arguments_of(given, everything) == {
        "weights": Variant("base", Path("m/source.json"), None),
        "data": Path("d"),
        "merged": Path("r"),
        "files": [Path("a"), Path("b")],
        "none": [],
        "tables": {"base": Path("perf/base.json"), "lora": Path("perf/lora.json")},
        "shard": 4,
        "settings": {"k": 1},
        "threads": 3,
        "log": Path("logs/rule.log"),
        "attempt": 2,
        "more": "default",
    }


def one_file(*, source: Path) -> None:
    """Take one file."""


@pytest.mark.parametrize(
    ("given", "unused", "message"),
    [
        (job(), (), "one_file takes source, which the rule does not name"),
        (
            job(input=entries(InputFiles, source="a"), wildcards=entries(Wildcards, source="b")),
            (),
            "source means two things, input and wildcards",
        ),
        (
            job(input=entries(InputFiles, source="a", extra="b")),
            (),
            "the rule names extra, which one_file does not take",
        ),
        (
            job(input=entries(InputFiles, source="a")),
            ("extra",),
            "extra is listed as unused, but is no such name of the rule",
        ),
        (
            job(input=entries(InputFiles, source="a")),
            ("source",),
            "source is listed as unused, but is no such name of the rule",
        ),
        (
            job(input=entries(InputFiles, ["b"], source="a")),
            (),
            "input has an entry without a name",
        ),
        (job(input=entries(InputFiles, source=["a", "b"])), (), "expected one file, found"),
        (job(input=entries(InputFiles, source=[])), (), "expected one file, found"),
    ],
)
def test_names_that_do_not_fit_are_an_error(
    given: SimpleNamespace, unused: tuple[str, ...], message: str
) -> None:
    """Rule and function use the same names, each for one thing."""
    with pytest.raises(ConfigurationError, match=message):
        arguments_of(given, one_file, unused)


def test_a_folder_is_that_of_all_its_files() -> None:
    """Files of two folders have no common folder that a function could take."""

    def folder(*, data: Folder) -> None:
        """Take a folder."""

    function: Callable[..., None] = folder
    with pytest.raises(ConfigurationError, match="files of one folder"):
        arguments_of(job(input=entries(InputFiles, data=["a/b", "c/d"])), function)
