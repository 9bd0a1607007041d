"""The config as the rules see it: checked, overridden from the environment, spread over a sweep."""

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorabench.control.config.contradictions import find_contradictions
from lorabench.control.config.faults import fault_line, find_faults
from lorabench.control.config.files import Places, merge, read_config
from lorabench.data.sources.source import KINDS
from lorabench.errors import ConfigurationError

# Variables that users may set instead of editing a file, and the keys that they override.
ENVIRONMENT_KEYS = {
    "ADAPTER_PATH": ("import_adapter", "path"),
    "BATCH_SIZE": ("train_adapter", "batch_size"),
    "LORA_OUTPUT_DIR": ("export_adapter", "folder"),
    "MT_BENCH_JUDGE_MODEL": ("judge_mt_bench", "judge", "model"),
}
NUMBERS = {"BATCH_SIZE"}
# of the run that ADAPTER_PATH makes; the run of the config keeps the adapter that was trained in it
IMPORTED = "-imported"
JUDGING = ("judge_mt_bench", "judge_alpaca_eval")
# keys that belong to a run as a whole and not to an entry of its sweep
NOT_IN_SWEEP = ("run", "sweep")


def resolve(
    config: Mapping[str, Any], files: Sequence[Path], environment: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return run name -> whole config, checked.

    Variables of the environment override keys, and both judging sections hold the shared keys of
    `judge`.

    Args:
        config: the merged config files.
        files: the config files, to name the line of a wrong key; what wins comes last.
        environment: os.environ; an empty value counts as unset.

    Raises:
        ConfigurationError: with every fault found, one a line.
    """
    read = read_config(files)
    whole = copy.deepcopy(dict(config))
    places = read.places | override_from_environment(whole, environment)
    places = _places_of_shared_judge(places) | places
    runs, found, of_main = {}, [], set()
    for suffix, entry in _entries(whole):
        run = share_judge(entry)
        faults = find_faults(run)
        if not faults:
            runs[entry["run"]] = run
            faults = list(find_contradictions(run))
        if suffix is None:
            found, of_main = faults, set(faults)
        else:
            own = [fault for fault in faults if fault not in of_main]
            found += [(("sweep", suffix, *path), message) for path, message in own]
    lines = [fault_line(path, message, places) for path, message in found]
    lines = [*read.faults, *lines, *_sweep_faults(whole, places), *find_conflicts(runs)]
    if lines:
        raise ConfigurationError("\n".join(dict.fromkeys(lines)))
    return runs


def _entries(config: dict[str, Any]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Yield suffix and whole config of the main run (None) and of each sweep entry."""
    yield None, config
    sweep = config.get("sweep")
    if not isinstance(sweep, Mapping):
        return
    for suffix, overrides in sweep.items():
        if isinstance(overrides, dict):
            name = f"{config.get('run')}-{suffix}"
            yield str(suffix), merge(config, overrides) | {"run": name, "sweep": {}}


def _places_of_shared_judge(places: Places) -> Places:
    """Return the places of the keys of `judge` as keys of both judging sections."""
    shared = {path[1:]: place for path, place in places.items() if path[0] == "judge" and path[1:]}
    return {(name, "judge", *path): place for name in JUDGING for path, place in shared.items()}


def _sweep_faults(config: Mapping[str, Any], places: Places) -> list[str]:
    sweep = config.get("sweep")
    return [
        fault_line(("sweep", str(suffix), key), "cannot be set in a sweep; delete it", places)
        for suffix, overrides in (sweep.items() if isinstance(sweep, Mapping) else ())
        for key in NOT_IN_SWEEP
        if isinstance(overrides, Mapping) and key in overrides
    ]


def share_judge(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with `judge` merged into both judging sections, which win."""
    whole = copy.deepcopy(dict(config))
    for name in JUDGING:
        section = whole.get(name)
        if isinstance(section, dict) and isinstance(whole.get("judge"), dict):
            own = section.get("judge", {})
            section["judge"] = merge(whole["judge"], own) if isinstance(own, dict) else own
    return whole


def override_from_environment(
    config: dict[str, Any], environment: Mapping[str, str]
) -> dict[tuple[str, ...], str]:
    """Write set variables of `ENVIRONMENT_KEYS` into `config`; return path -> variable."""
    overridden: dict[tuple[str, ...], str] = {}
    for variable, path in ENVIRONMENT_KEYS.items():
        value = environment.get(variable)
        if not value:
            continue
        section: Any = config
        for key in path[:-1]:
            section = section.setdefault(key, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            number = variable in NUMBERS and re.fullmatch("[0-9]{1,18}", value)
            section[path[-1]] = int(value) if number else value
            overridden[path] = variable
    if ("import_adapter", "path") in overridden and isinstance(config.get("run"), str):
        config["run"] += IMPORTED
    return overridden


def find_conflicts(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one line for each model name that means two different sources in a sweep's runs."""
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


def source(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a source that its kind uses.

    An overlay may leave keys of another kind in the same section.
    """
    keys = (*KINDS[entry["kind"]].model_fields, "judge_prompt", "format")
    return {key: entry[key] for key in keys if entry.get(key) is not None}


def source_label(entry: Mapping[str, Any]) -> str:
    """Return a folder name for a source, different for different sources."""
    form = entry.get("format") or "auto"
    return _origin_label(entry) + ("" if form == "auto" else f"-{form}")


def _origin_label(entry: Mapping[str, Any]) -> str:
    if entry["kind"] == "hub":
        return f"hub-{entry['revision'][:12]}"
    if entry["kind"] == "wheel":
        return f"{entry['package']}-{entry['version']}"
    if entry["kind"] == "path":
        path = str(Path(entry["path"]).resolve())
        return f"path-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    return "built-in"


def load(files: Sequence[Path]) -> dict[str, Any]:
    """Return the config that Snakemake makes of these files; later ones win, deeply.

    Raises:
        ConfigurationError: a file cannot be read, is no YAML mapping, or has a key twice; all
            faults, one a line.
    """
    read = read_config(files)
    if read.faults:
        raise ConfigurationError("\n".join(read.faults))
    return read.values
