"""What stops a run before its first job."""

import os
import shutil
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lorabench.control.base_model import LLAMA_3_8B
from lorabench.control.configuration import load, resolve
from lorabench.control.preflight import (
    check,
    device_here,
    find_content_faults,
    find_memory_faults,
)
from lorabench.description.gpus import GPUS
from lorabench.errors import PrerequisiteError
from lorabench.files import read_json, write_json

pytest_plugins = ["training_fixtures"]

ROOT = Path(__file__).resolve().parents[1]


def start(*, variant: str = "lora", conda: bool = True, **more: Any) -> None:
    """Check a run whose answers vLLM generates; `more` replaces keys."""
    run = {
        "run": "demo",
        "require_gpu": more.pop("require_gpu", False),
        "fetch_model": {"base": {"name": "tiny"}},
        "import_adapter": {"path": more.pop("path", None)},
        "generate_answers": {"dtype": more.pop("dtype", "auto")},
        "train_adapter": {"lora_r": 64, "use_dora": False, "target_modules": ["q_proj"]} | more,
    }
    vllm = {("demo", "generate_answers", variant)}
    check({"demo": run}, set(), vllm=vllm, with_conda=conda, local=False, environment={})


def test_a_missing_vllm_stops_a_run_without_conda() -> None:
    """With --sdm conda Snakemake builds its environment; without, the one line says so."""
    if "vllm" in packages_distributions():
        pytest.skip("vLLM is installed")
    start(conda=True)
    with pytest.raises(PrerequisiteError, match=r"--sdm conda.*envs/vllm\.yaml.*engine: tran"):
        start(conda=False, variant="base")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"lora_r": 1024}, "rank 1024"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"dtype": "float32", "require_gpu": True}, "dtype: bfloat16"),
    ],
)
def test_an_adapter_that_will_not_be_served_stops_the_run(
    settings: dict[str, Any], named: str
) -> None:
    """Before it is trained; the merged model is served whatever the adapter."""
    with pytest.raises(PrerequisiteError, match=f"run 'demo', generate_answers: vLLM.*{named}"):
        start(**settings)
    start(variant="merged", **settings)


def test_an_imported_adapter_is_looked_at_instead(tmp_path: Path) -> None:
    """Its own configuration and tensors decide, not the section of a training that does not run."""
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    write_json(tmp_path / "adapter_config.json", config)
    weights, square = tmp_path / "adapter_model.safetensors", np.zeros((2, 2))
    matrices = {f"base_model.model.q_proj.lora_{kind}.weight": square for kind in "AB"}
    save_file(matrices, weights)
    start(path=str(tmp_path), use_dora=True)
    save_file(matrices | {"base_model.model.lm_head.weight": square}, weights)
    with pytest.raises(PrerequisiteError, match=r"lm_head\.weight"):
        start(path=str(tmp_path))


def test_a_training_that_cannot_fit_is_refused_before_the_first_job(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """8B in bfloat16 on a GPU of 16 GB, with what to set instead; on 80 GB it starts."""
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "resources" / "models" / "llama" / "config.json", LLAMA_3_8B)
    run = {
        "run": "big",
        "fetch_model": {"base": {"name": "llama", "kind": "hub"}},
        "train_adapter": settings | {"dtype": "auto"},
    }
    (fault,) = find_memory_faults(run, replace(GPUS["L4"], name="small", memory_bytes=16e9))
    assert fault.startswith("run 'big': training needs about ")
    assert "small has 16.0 GB" in fault and "use_4bit: true" in fault
    assert find_memory_faults(run, GPUS["A100-80"]) == []


def test_the_gpu_here_is_the_one_that_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory as reported, its peaks from the table."""
    program = tmp_path / "nvidia-smi"
    says = 'if [ "$1" = -L ]; then echo "GPU 0: NVIDIA L4"; else echo "NVIDIA L4, 23034"; fi'
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = device_here()
    assert (found.name, found.memory_bytes) == ("NVIDIA L4", 23034 * 2**20)
    assert found.bfloat16_flops == GPUS["L4"].bfloat16_flops


def test_a_secret_that_may_not_be_used_stops_the_run() -> None:
    """It is named without its value."""
    environment = {"OPENAI_API_KEY": "sk-planted\nsecond"}
    with pytest.raises(PrerequisiteError) as caught:
        check({}, set(), vllm=set(), with_conda=False, local=False, environment=environment)
    assert "OPENAI_API_KEY holds a line break" in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_base_that_is_no_model_is_one_fault(tiny_model: Path, tmp_path: Path) -> None:
    """Nothing is computed from a config.json that does not fit the weights."""
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"num_hidden_layers": -1})
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"fetch_model: {{base: {{kind: path, name: mine, path: {folder}}}}}")
    files = [ROOT / "config" / "config.yaml", ROOT / "config" / "smoke.yaml", overlay]
    runs = {name: dict(run) for name, run in resolve(load(files), files, {}).items()}
    rules = {"fetch_model", "train_adapter"}
    with pytest.raises(PrerequisiteError) as caught:
        check(runs, rules, vllm=set(), with_conda=False, local=True, environment={})
    [line] = str(caught.value).splitlines()
    assert line.startswith("fetch_model.base: ") and "num_hidden_layers is -1" in line


def test_layers_and_files_that_are_not_what_is_needed(tiny_model: Path, tmp_path: Path) -> None:
    """Both would stop a job hours later; nothing is said of a base that is not here yet."""
    run: dict[str, Any] = {
        "fetch_model": {"base": {"kind": "path", "path": str(tiny_model)}},
        "train_adapter": {"target_modules": ["q_proj", "nothing"]},
        "score_benchmark": {"length_control_file": str(tiny_model / "config.json")},
    }
    layer, file = find_content_faults(run, {"train_adapter", "score_benchmark"})
    assert "has no linear layer 'nothing'" in layer and "q_proj" in layer
    assert file.startswith("score_benchmark.length_control_file: ") and "df_gamed.csv" in file
    run["fetch_model"]["base"] = {"kind": "built-in", "name": str(tmp_path)}
    assert find_content_faults(run, {"train_adapter"}) == []
