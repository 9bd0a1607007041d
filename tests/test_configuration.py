"""The config: faults are named with their place; overrides and sweeps give runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lorabench.control.config.files import merge
from lorabench.control.configuration import resolve, source, source_label
from lorabench.errors import ConfigurationError


@pytest.fixture
def config(root: Path) -> dict[str, Any]:
    """Return the default config."""
    return yaml.safe_load((root / "config" / "config.yaml").read_text())


@pytest.mark.parametrize("overlay", [None, "demo", "smoke"])
def test_shipped_configs_are_valid(root: Path, config: dict[str, Any], overlay: str | None) -> None:
    """The default and both overlays are without fault."""
    if overlay:
        config = merge(config, yaml.safe_load((root / "config" / f"{overlay}.yaml").read_text()))
    assert list(resolve(config, [], {})) == [overlay or "llama3"]


def test_environment_overrides_the_files(config: dict[str, Any], tmp_path: Path) -> None:
    """The documented variables reach their keys, paths with spaces and quotes included."""
    adapter = tmp_path / 'it\'s a "path"'
    adapter.mkdir()
    environment = {"BATCH_SIZE": "2", "MT_BENCH_JUDGE_MODEL": "some-model"}
    [run] = resolve(config, [], environment | {"ADAPTER_PATH": str(adapter)}).values()
    assert run["run"] == "llama3-imported"
    assert run["train_adapter"]["batch_size"] == 2
    assert run["import_adapter"]["path"] == str(adapter)
    assert run["judge_mt_bench"]["judge"]["model"] == "some-model"


def test_a_sweep_adds_runs_that_differ_in_their_overrides(config: dict[str, Any]) -> None:
    """Each entry of `sweep` is a whole run; the main run stays as it is."""
    config["sweep"] = {"r16": {"train_adapter": {"lora_r": 16}}}
    runs = resolve(config, [], {})
    assert list(runs) == ["llama3", "llama3-r16"]
    assert runs["llama3"]["train_adapter"]["lora_r"] == 64
    assert runs["llama3-r16"]["train_adapter"]["lora_r"] == 16
    assert runs["llama3-r16"]["run"] == "llama3-r16"


def test_one_model_name_cannot_mean_two_sources(config: dict[str, Any]) -> None:
    """Two runs would overwrite each other's checkpoint."""
    config["sweep"] = {"other": {"fetch_model": {"base": {"revision": "0" * 40}}}}
    with pytest.raises(ConfigurationError, match="already names another source"):
        resolve(config, [], {})


def test_a_source_drops_keys_of_other_kinds() -> None:
    """An overlay that changes the kind leaves the old kind's keys behind; they must not count."""
    entry = {"kind": "built-in", "repo": "a/b", "revision": "0" * 40, "seed": None}
    assert source(entry) == {"kind": "built-in"}
    assert source_label(entry) == "built-in"
