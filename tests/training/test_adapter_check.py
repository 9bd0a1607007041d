"""check_adapter finds what is wrong with an adapter from headers only."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorabench.files import read_json, write_json
from lorabench.training.adapter.check import check_adapter
from training_fixtures import make_adapter

pytest_plugins = ["training_fixtures"]


@pytest.fixture
def adapter(tmp_path: Path, tiny_model: Path) -> Path:
    """Return a random adapter that fits the tiny model."""
    return make_adapter(tiny_model, tmp_path / "adapter")


def test_a_fitting_adapter_has_no_faults(adapter: Path, tiny_model: Path) -> None:
    """With and without the base model at hand."""
    assert check_adapter(adapter, tiny_model) == []
    assert check_adapter(adapter, None) == []


def test_an_adapter_of_another_model_is_named_by_its_first_misfit(
    adapter: Path, tiny_model: Path
) -> None:
    """A wrong width, and a layer that the base does not have."""
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "lora_A" in name)
    save_file(tensors | {name: torch.zeros(4, 99)}, path)
    (fault,) = check_adapter(adapter, tiny_model)
    assert "has shape [4, 99]" in fault and "another model" in fault
    foreign = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in tensors.items()}
    save_file(foreign, path)
    (fault,) = check_adapter(adapter, tiny_model)
    assert "does not have" in fault


def test_broken_folders_are_one_line_each(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Missing folder, missing file, cut-off weights, foreign kind of adapter, wrong rank."""
    assert "no such adapter folder" in check_adapter(tmp_path / "nowhere", tiny_model)[0]
    config = read_json(adapter / "adapter_config.json")
    write_json(adapter / "adapter_config.json", config | {"r": 8})
    assert "r is 8, but the tensors have rank 4" in check_adapter(adapter, tiny_model)[0]
    write_json(adapter / "adapter_config.json", config | {"peft_type": "IA3"})
    assert "expected 'LORA'" in check_adapter(adapter, tiny_model)[0]
    write_json(adapter / "adapter_config.json", config)
    path = adapter / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "not a whole safetensors file" in check_adapter(adapter, tiny_model)[0]
    path.write_bytes(b"garbage")
    assert "not a whole safetensors file" in check_adapter(adapter, tiny_model)[0]
    path.unlink()
    assert "no such file" in check_adapter(adapter, tiny_model)[0]


def test_the_check_is_light(root: Path) -> None:
    """Preflight imports it, so it must not bring torch along."""
    code = "import sys, lorabench.training.adapter.check; sys.exit('torch' in sys.modules)"
    folder = root / "workflow" / "scripts"
    subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(folder)}, check=True, timeout=60
    )
