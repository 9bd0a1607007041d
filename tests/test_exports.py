"""What a run may not replace, and which files it depends on."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorabench.control.config.files import merge
from lorabench.control.configuration import load, resolve
from lorabench.control.inputs import folder_inputs, local_files
from lorabench.control.scheduled import find_foreign_files, find_replaced_adapters
from lorabench.errors import ConfigurationError
from lorabench.publishing import MANIFEST, exported_files, note_exports

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "config" / "config.yaml", ROOT / "config" / "smoke.yaml"]


def runs_of(overlay: dict[str, Any], **environment: str) -> dict[str, dict[str, Any]]:
    """Return the runs of the smoke config with an overlay."""
    return resolve(merge(load(FILES), overlay), FILES, environment)


def test_files_that_no_export_wrote_are_named(tmp_path: Path) -> None:
    """A README that was there before stops the export; what an export wrote does not."""
    (tmp_path / "README.md").write_text("mine")
    [line] = find_foreign_files(tmp_path, ["README.md", "adapter_config.json"])
    assert "README.md that no earlier export wrote" in line and "LORA_OUTPUT_DIR" in line
    assert find_foreign_files(tmp_path, ["adapter_config.json"]) == []
    note_exports(tmp_path, ["README.md"])
    note_exports(tmp_path, ["adapter_config.json"])
    assert exported_files(tmp_path) == {"README.md", "adapter_config.json"}
    assert find_foreign_files(tmp_path, ["README.md", "adapter_config.json"]) == []
    assert find_foreign_files(tmp_path / "new", ["README.md"]) == []
    assert json.loads((tmp_path / MANIFEST).read_text())["schema_version"] == 1


def test_a_link_to_nowhere_is_a_file_of_the_user(tmp_path: Path) -> None:
    """Snakemake would replace it."""
    (tmp_path / "README.md").symlink_to("nowhere")
    assert find_foreign_files(tmp_path, ["README.md"])


@pytest.mark.parametrize("folder", [".", "..", "results/smoke/adapter", "config", "workflow/x"])
def test_an_export_never_goes_where_other_files_are(folder: str) -> None:
    """The checkout itself, what holds it, and the pipeline's own folders."""
    with pytest.raises(ConfigurationError, match=r"LORA_OUTPUT_DIR: export_adapter\.folder"):
        runs_of({}, LORA_OUTPUT_DIR=folder)


def test_an_adapter_from_elsewhere_gets_a_run_of_its_own(tmp_path: Path) -> None:
    """ADAPTER_PATH changes neither the run of the config nor the adapter trained in it."""
    assert list(runs_of({}, ADAPTER_PATH=str(tmp_path))) == ["smoke-imported"]


def test_an_import_over_a_trained_adapter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record says where an adapter came from; an imported one may be replaced."""
    monkeypatch.chdir(tmp_path)
    record = Path("results/smoke/adapter/training_record.json")
    runs = {"smoke": {"import_adapter": {"path": "x"}}}
    assert find_replaced_adapters(runs, ["smoke"]) == []
    record.parent.mkdir(parents=True)
    record.write_text('{"status": "not_run"}')
    assert find_replaced_adapters(runs, ["smoke"]) == []
    record.write_text('{"schema_version": 1}')
    [line] = find_replaced_adapters(runs, ["smoke"])
    assert "'smoke' holds an adapter that was trained here" in line


def test_entries_of_a_sweep_may_differ_in_what_they_import(tmp_path: Path) -> None:
    """Each run has its own choice."""
    sweep = {"own": {}, "other": {"import_adapter": {"path": str(tmp_path)}}}
    runs = runs_of({"sweep": sweep})
    assert [run["import_adapter"]["path"] for run in runs.values()] == [None, None, str(tmp_path)]


def make_clone(folder: Path) -> None:
    """Make a folder with a checkpoint as a git clone with caches has it."""
    for name in (
        *("config.json", "model.safetensors", "tokenizer.json"),
        *(".git/index", ".git/objects/ab/cd", ".cache/huggingface/x.json", "config.json~"),
        *(".ipynb_checkpoints/config.json", "__pycache__/modeling.cpython-311.pyc"),
        *("onnx/model.onnx", "pytorch_model.bin"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def test_only_what_is_read_of_a_checkpoint_is_an_input(tmp_path: Path) -> None:
    """`git status` writes .git/index and trains nothing again."""
    make_clone(tmp_path)
    names = [Path(file).name for file in folder_inputs(str(tmp_path))]
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    assert folder_inputs(None) == []


def test_hidden_files_and_caches_of_a_data_folder_are_no_inputs(tmp_path: Path) -> None:
    """Below hidden folders neither; a folder whose own path is hidden counts."""
    folder = tmp_path / ".data"
    make_clone(folder)
    (folder / "mmlu").mkdir()
    (folder / "mmlu" / "test.csv").write_text("")
    (folder / "loop").symlink_to(folder)
    entry = {"kind": "path", "path": str(folder)}
    found = [str(Path(file).relative_to(folder)) for file in local_files(entry)]
    assert "mmlu/test.csv" in found and "config.json" in found
    assert not [name for name in found if name.startswith(".") or "cache" in name or "~" in name]
    assert local_files({"kind": "built-in"}) == []


def test_the_shipped_configs_are_yaml_without_long_lines() -> None:
    """Comments are above keys, at most 100 columns."""
    for file in (ROOT / "config").glob("*.yaml"):
        text = file.read_text()
        assert yaml.safe_load(text)
        assert max(map(len, text.splitlines())) <= 100
        lines = [line.split("  # ") for line in text.splitlines()]
        assert not [line for line in lines if len(line) > 1 and ": " in line[0]]


def test_a_folder_that_cannot_be_listed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of /proc go away while they are listed."""

    def vanished(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Path, "rglob", vanished)
    with pytest.raises(ConfigurationError, match="/proc: cannot be listed"):
        local_files({"kind": "path", "path": "/proc"})
