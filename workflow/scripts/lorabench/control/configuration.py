"""The config as the rules see it: checked against the schema, overridden from the environment,
spread over a sweep."""

import copy
import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from lorabench.control.benchmarks import complete_schema
from lorabench.errors import ConfigurationError

# Variables that users may set instead of editing a file, and the keys that they override.
ENVIRONMENT_KEYS = {
    "ADAPTER_PATH": ("import_adapter", "path"),
    "BATCH_SIZE": ("train_adapter", "batch_size"),
    "LORA_OUTPUT_DIR": ("export_adapter", "folder"),
    "MT_BENCH_JUDGE_MODEL": ("judge_mt_bench", "judge", "model"),
}
SOURCE_KEYS = {
    "hub": ("repo", "revision"),
    "path": ("path",),
    "wheel": ("package", "version", "sha256", "member"),
    "built-in": ("seed",),
}


def resolve(
    config: dict[str, Any], schema: Path, files: list[Path], environment: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the runs of a config: run name -> its whole config, checked, with overrides from the
    environment.

    Args:
        config: the merged config files.
        schema: the JSON Schema file (YAML).
        files: the config files, to name the line of a wrong key.
        environment: os.environ; an empty value counts as unset.

    Raises:
        ConfigurationError: with every fault found, one a line.
    """
    rules = read_schema(schema)
    config = copy.deepcopy(config)
    places = _places(files) | override_from_environment(config, environment)
    faults = find_faults(config, rules, places)
    runs = {} if faults else {config["run"]: config}
    for suffix, overrides in {} if faults else (config.get("sweep") or {}).items():
        name = f"{config['run']}-{suffix}"
        runs[name] = merge(config, overrides) | {"run": name, "sweep": {}}
        faults += [f"sweep.{suffix}: {fault}" for fault in find_faults(runs[name], rules, {})]
    faults = faults or find_conflicts(runs)
    faults += [f"{name}: {fault}" for name, run in runs.items() for fault in gate_faults(run)]
    if faults:
        raise ConfigurationError("\n".join(faults))
    return runs


def read_schema(schema: Path) -> dict[str, Any]:
    """Return the whole JSON Schema of the config: the file, and what follows from the
    benchmarks."""
    return complete_schema(yaml.safe_load(schema.read_text(encoding="utf-8")))


def override_from_environment(
    config: dict[str, Any], environment: Mapping[str, str]
) -> dict[tuple[str, ...], str]:
    """Write set variables of `ENVIRONMENT_KEYS` into `config`, numbers as numbers; return path ->
    variable."""
    overridden: dict[tuple[str, ...], str] = {}
    for variable, path in ENVIRONMENT_KEYS.items():
        value = environment.get(variable)
        if not value:
            continue
        section = config
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = int(value) if value.isdigit() else value
        overridden[path] = variable
    return overridden


def merge(config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `config` in which `overrides` replace values, deeply for mappings."""
    merged = copy.deepcopy(config)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value)
            if isinstance(old, dict) and isinstance(value, dict)
            else copy.deepcopy(value)
        )
    return merged


def find_faults(
    config: dict[str, Any], schema: dict[str, Any], places: dict[tuple[str, ...], str]
) -> list[str]:
    """Return one line for each place where `config` breaks `schema`: where it stands, the key, what
    was expected.

    Args:
        places: key path -> "file:line" or the environment variable that sets it.
    """
    faults = []
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(
        validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path))
    ):
        path = tuple(str(part) for part in error.absolute_path)
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for key in sorted(set(error.instance) - set(known), key=str):
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
                faults.append(
                    _line((*path, str(key)), f"unknown key; did you mean {near[0]!r}?", places)
                )
        elif error.validator == "required":
            faults.append(
                _line(
                    path,
                    error.message.replace("a required property", "required and missing"),
                    places,
                )
            )
        else:
            faults.append(_line(path, _expectation(error), places))
    return faults


def _line(path: tuple[str, ...], message: str, places: dict[tuple[str, ...], str]) -> str:
    known = next(
        (path[:length] for length in range(len(path), 0, -1) if path[:length] in places), None
    )
    place = f"{places[known]}: " if known else ""
    return f"{place}{'.'.join(path) or 'config'}: {message}"


def _expectation(error: jsonschema.ValidationError) -> str:
    expected = error.validator_value
    if error.validator == "type":
        expected = " or ".join(expected) if isinstance(expected, list) else expected
        return f"expected {expected}, found {error.instance!r}"
    if error.validator == "enum":
        return f"expected one of {', '.join(map(str, expected))}, found {error.instance!r}"
    return error.message


def _places(files: list[Path]) -> dict[tuple[str, ...], str]:
    """Return key path -> "file:line" over all config files; a later file wins, as its value
    does."""
    places: dict[tuple[str, ...], str] = {}

    def walk(node: yaml.Node | None, path: tuple[str, ...], file: Path) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                places[(*path, str(key.value))] = f"{file}:{key.start_mark.line + 1}"
                walk(value, (*path, str(key.value)), file)

    for file in files:
        walk(yaml.compose(file.read_text(encoding="utf-8")), (), file)
    return places


def find_conflicts(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Return one line for each model name that stands for two different sources in the runs of a
    sweep."""
    seen: dict[str, dict[str, Any]] = {}
    faults = []
    for name, run in runs.items():
        for role, model in run["fetch_model"].items():
            if model is not None and seen.setdefault(model["name"], source(model)) != source(model):
                faults.append(
                    f"{name}: fetch_model.{role}.name {model['name']!r} already names another"
                    " source"
                )
    return faults


def gate_faults(run: dict[str, Any]) -> list[str]:
    """Return one line for each required line of the gate that has no bound to be held against."""
    gate = run["gate"]
    names = {
        "contamination": "contamination_share",
        "speed": "speed_ratio",
        "memory": "memory_ratio",
    }
    given = [gate["margins"], gate["limits"], gate["improvements"]]
    return [
        f"gate.required: {name!r} has no bound; set it under gate.margins, gate.improvements or"
        " gate.limits, or take it out of gate.required"
        for name in gate["required"]
        if name not in ("licences", "declaration")
        and all(part.get(names.get(name, name)) is None for part in given)
    ]


def source(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a source that its kind uses; an overlay may leave keys of another kind
    beside them."""
    keys = ("kind", *SOURCE_KEYS[entry["kind"]], "judge_prompt", "format")
    return {key: entry[key] for key in keys if entry.get(key) is not None}


def source_label(entry: dict[str, Any]) -> str:
    """Return a folder name for a source, so that two configurations never overwrite each other's
    downloads."""
    form = entry.get("format") or "auto"
    return _origin_label(entry) + ("" if form == "auto" else f"-{form}")


def _origin_label(entry: dict[str, Any]) -> str:
    if entry["kind"] == "hub":
        return f"hub-{entry['revision'][:12]}"
    if entry["kind"] == "wheel":
        return f"{entry['package']}-{entry['version']}"
    if entry["kind"] == "path":
        return (
            "path-" + hashlib.sha256(str(Path(entry["path"]).resolve()).encode()).hexdigest()[:12]
        )
    return "built-in"


def load(files: list[Path]) -> dict[str, Any]:
    """Return the config that Snakemake makes of these files: later ones replace values of earlier
    ones, deeply.

    Raises:
        ConfigurationError: a file is missing or no YAML mapping.
    """
    config: dict[str, Any] = {}
    for file in files:
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(f"{file}: no such config file") from None
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{file}: not YAML ({' '.join(str(error).split())})") from None
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{file}: expected a mapping of sections, found {type(values).__name__}"
            )
        config = merge(config, values)
    return config
