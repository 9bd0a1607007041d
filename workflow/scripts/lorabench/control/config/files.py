"""Reading config files: values as Snakemake reads them, the place of each key, and what is wrong.

Snakemake reads the same files with its own parser, which takes the last of two equal keys without a
word and ends with a traceback where a file is a folder or not UTF-8; so they are read here first.
"""

import copy
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# by key path: "file:line"
Places = dict[tuple[str, ...], str]


@dataclass
class ConfigFile:
    """What a config file holds; without values where it cannot be read."""

    values: dict[str, Any] = field(default_factory=dict)
    places: Places = field(default_factory=dict)
    # one line each
    faults: list[str] = field(default_factory=list)


def read_config_file(file: Path) -> ConfigFile:
    """Read a YAML file of sections; what is wrong with it is among the result's faults."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        byte = f"0x{error.object[error.start]:02x} in column {column}"
        return ConfigFile(faults=[f"{file}:{line}: expected UTF-8 text, found the byte {byte}"])
    except OSError as error:
        return ConfigFile(faults=[f"{file}: expected a readable file; {_reason(error)}"])
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        values = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        return ConfigFile(faults=[_syntax_fault(file, error)])
    except (ValueError, RecursionError) as error:
        # of dates that do not exist, and of a mapping inside itself
        return ConfigFile(faults=[f"{file}: not YAML that can be read: {error}"])
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        return ConfigFile(faults=[f"{file}: expected sections such as `run: demo`, found {found}"])
    read = ConfigFile(values=values)
    try:
        _walk(node, (), file, read)
    except RecursionError:
        return ConfigFile(faults=[f"{file}: a value holds itself, or is nested too deeply"])
    return read


def read_config(files: Sequence[Path]) -> ConfigFile:
    """Return the config that Snakemake makes of these files, with places and faults.

    Later files replace values of earlier ones, deeply.
    """
    config = ConfigFile()
    for file in files:
        read = read_config_file(file)
        config.values = merge(config.values, read.values)
        config.places |= read.places
        config.faults += read.faults
    return config


def merge(config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `config` in which `overrides` replace values, deeply for mappings."""
    merged = copy.deepcopy(config)
    for key, value in overrides.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = merge(old, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def overlays_of(words: Sequence[str]) -> list[Path]:
    """Return the config files that words of Snakemake's command line name."""
    files: list[Path] = []
    listing = False
    for word in words:
        name, sign, value = word.partition("=")
        if word.startswith("-"):
            listing = name in ("--configfile", "--configfiles") and not sign
            if name in ("--configfile", "--configfiles") and sign:
                files.append(Path(value))
        elif listing:
            files.append(Path(word))
    return files


def check_overlays() -> None:
    """End Snakemake where a config file of its command line cannot be read.

    Called when Snakemake looks for its plugins, which is before it reads these files itself.
    """
    files = overlays_of(sys.argv[1:])
    if faults := [fault for file in files for fault in read_config_file(file).faults]:
        print("\n".join(f"lorabench: {fault}" for fault in faults), file=sys.stderr)
        sys.exit(2)


def _walk(node: yaml.Node | None, path: tuple[str, ...], file: Path, read: ConfigFile) -> None:
    """Note the place of each key below `node`, and keys that occur twice."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, (*path, str(number)), file, read)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[Hashable, int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value)
        if name in seen and name != "<<":
            read.faults.append(
                f"{file}:{line}: {'.'.join((*path, name))}: the key is already in line"
                f" {seen[name]}; delete one of the two"
            )
        seen[name] = line
        read.places[(*path, name)] = f"{file}:{line}"
        _walk(value, (*path, name), file, read)


def _syntax_fault(file: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{file}:{mark.line + 1}" if mark else str(file)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    hint = "; indent with spaces" if "'\\t'" in str(problem) else ""
    return f"{place}: not YAML: {' '.join(str(problem).split())}{hint}"


def _reason(error: OSError) -> str:
    reasons: dict[type[OSError], str] = {
        FileNotFoundError: "there is no such file",
        IsADirectoryError: "it is a folder",
        PermissionError: "reading it is not permitted",
    }
    return reasons.get(type(error), (error.strerror or str(error)).lower())
