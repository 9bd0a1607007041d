"""Training by several processes: one process's adapter, same bits after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lorabench.files import read_json, write_jsonl
from training_fixtures import describe, train

pytest_plugins = ["training_fixtures"]

# Starts two training processes, as the rule's script does.
PARENT = """
import json, sys
from pathlib import Path
from lorabench.errors import LorabenchError
from lorabench.training.processes import run_processes
from {module} import train_as_one_of_several

arguments = json.loads(sys.argv[1])
settings = arguments.pop("settings")
paths = {name: Path(path) for name, path in arguments.items()}
try:
    log = paths["work"].parent / "log"
    given = paths | {"run": "test", "settings": settings, "log": log}
    run_processes(train_as_one_of_several, given, 2, 2)
except LorabenchError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start(
    source: Path,
    prepared: Path,
    folder: Path,
    settings: dict[str, Any],
    root: Path,
    module: str = "train_adapter",
) -> "subprocess.Popen[str]":
    """Start a training by two processes into `folder`."""
    folder.mkdir(exist_ok=True)
    arguments = {
        "model": str(source),
        "train": str(prepared / "train.jsonl"),
        "validation": str(prepared / "validation.jsonl"),
        "adapter": str(folder / "adapter"),
        "work": str(folder / "work"),
        "tracking": str(folder / "tracking"),
        "settings": settings,
    }
    path = os.pathsep.join([str(root / "workflow" / "scripts"), str(root / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("{module}", module), json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train_by_two(
    source: Path,
    prepared: Path,
    folder: Path,
    settings: dict[str, Any],
    root: Path,
    module: str = "train_adapter",
) -> Path:
    """Train by two processes and return the adapter's folder."""
    parent = start(source, prepared, folder, settings, root, module)
    _, errors = parent.communicate(timeout=300)
    assert parent.returncode == 0, errors
    return describe(folder / "adapter")


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [False, True])
def test_two_processes_learn_what_one_learns(
    tiny_source: Path,
    prepared: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    root: Path,
    fsdp: bool,
) -> None:
    """The same losses and, up to rounding, the same adapter, with or without FSDP."""
    settings |= {"lora_dropout": 0.0, "evaluations_per_epoch": 1, "gradient_accumulation": 3}
    torch.set_num_threads(1)
    one = train(tiny_source, prepared, tmp_path, settings)
    both = train_by_two(tiny_source, prepared, tmp_path / "two", settings | {"fsdp": fsdp}, root)
    expected = load_file(one / "adapter_model.safetensors")
    found = load_file(both / "adapter_model.safetensors")
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)
    metrics = [read_json(folder / "train_metrics.json") for folder in (one, both)]
    for key in ("tokens", "label_tokens", "conversations", "learning_rate"):
        assert [row[key] for row in metrics[1]["steps"]] == [
            row[key] for row in metrics[0]["steps"]
        ]
    for key in ("loss", "grad_norm"):
        assert [row[key] for row in metrics[1]["steps"]] == pytest.approx(
            [row[key] for row in metrics[0]["steps"]], rel=1e-3
        )
    assert [row["nll_per_token"] for row in metrics[1]["evaluations"]] == pytest.approx(
        [row["nll_per_token"] for row in metrics[0]["evaluations"]], rel=1e-3
    )
    for split in ("train", "validation"):
        for variant in ("base", "adapter"):
            one, two = (found["likelihood"][split][variant] for found in metrics)
            assert two["label_tokens"] == one["label_tokens"]
            assert two["nll_sum"] == pytest.approx(one["nll_sum"], rel=1e-4)
    assert read_json(both / "run_config.json")["resolved"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [False, True])
def test_compiled_layers_learn_the_same_in_two_processes(
    tiny_source: Path,
    prepared: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    root: Path,
    fsdp: bool,
) -> None:
    """DDP's and FSDP's hooks stay outside of the layers; losses are those of one eager process."""
    settings |= {"lora_dropout": 0.0, "num_epochs": 1}
    torch.set_num_threads(1)
    one = train(tiny_source, prepared, tmp_path, settings)
    both = train_by_two(
        tiny_source,
        prepared,
        tmp_path / "two",
        settings | {"compile": True, "fsdp": fsdp},
        root,
        "training_without_inductor",
    )
    assert read_json(both / "run_config.json")["resolved"]["compiled"]
    losses = [
        [row["loss"] for row in read_json(folder / "train_metrics.json")["steps"]]
        for folder in (one, both)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
def test_two_killed_processes_resume_to_the_same_bits(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any], root: Path
) -> None:
    """SIGKILL of the job ends its processes too; run again, the bits are the same."""
    settings |= {"num_epochs": 4}
    whole = train_by_two(tiny_source, prepared, tmp_path / "whole", settings, root)
    parent = start(tiny_source, prepared, tmp_path / "killed", settings, root)
    work = tmp_path / "killed" / "work"
    deadline = time.monotonic() + 120
    while not list(work.glob("checkpoint-*/complete")):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=60)  # returns when the last process that holds the pipes has ended
    assert work.is_dir()
    resumed = train_by_two(tiny_source, prepared, tmp_path / "killed", settings, root)
    assert (resumed / "fingerprint.json").read_bytes() == (whole / "fingerprint.json").read_bytes()
    events = [event["event"] for event in read_json(resumed / "run_config.json")["history"]]
    assert events == ["started", "resumed"]


def test_an_error_of_one_process_is_the_jobs_error(
    tiny_source: Path, tmp_path: Path, settings: dict[str, Any], root: Path
) -> None:
    """The message of the process that failed arrives as one line."""
    write_jsonl(tmp_path / "train.jsonl", [])
    write_jsonl(tmp_path / "validation.jsonl", [])
    parent = start(tiny_source, tmp_path, tmp_path / "run", settings, root)
    _, errors = parent.communicate(timeout=120)
    assert parent.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("DataError: ") and last.endswith("nothing to learn")
