"""train_adapter end to end: files, repeatability, resume after a kill."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, read_jsonl, sha256_file, write_jsonl
from lorabench.llama import load_tokenizer
from lorabench.observation.matrix_speed import warn_of_slow_bfloat16
from lorabench.training.encode import encode_conversations
from lorabench.variants import load_variant
from merge_adapter import merge_adapter
from report.schema_check import faults_of
from training_fixtures import train

pytest_plugins = ["training_fixtures"]
# What a library announces to remove, a training run does not use.
pytestmark = pytest.mark.filterwarnings(
    "error::FutureWarning",
    "error::DeprecationWarning",
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",  # peft 0.21 asks for it
)

# Trains as told, and kills itself without warning at the given step: inside it, or while its
# checkpoint is written.
VICTIM = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from lorabench.training.trainer import AdapterTrainer
from train_adapter import train_adapter

arguments = json.loads(sys.argv[1])
method, step = arguments.pop("method"), arguments.pop("step")
original = getattr(AdapterTrainer, method)

def until(self, *args, **kwargs):
    if self.state.global_step == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *args, **kwargs)

setattr(AdapterTrainer, method, until)
names = ("model", "train", "validation", "adapter", "work")
paths = {name: Path(arguments[name]) for name in names}
train_adapter(**paths, run="test", settings=arguments["settings"])
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute on one thread: sums do not depend on the machine's cores."""
    torch.set_num_threads(1)


def kill_while_training(
    source: Path,
    prepared: Path,
    folder: Path,
    settings: dict[str, Any],
    method: str,
    step: int,
    root: Path,
) -> None:
    """Train in another process that dies in `method` when `step` steps are done."""
    arguments = {
        "model": str(source),
        "train": str(prepared / "train.jsonl"),
        "validation": str(prepared / "validation.jsonl"),
        "adapter": str(folder / "adapter"),
        "work": str(folder / "work"),
        "settings": settings,
        "method": method,
        "step": step,
    }
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, json.dumps(arguments)],
        env={"PYTHONPATH": str(root / "workflow" / "scripts"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_every_output_is_written_and_says_what_happened(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """The files are there, the counts agree with the data, and the work folder is gone."""
    adapter = train(tiny_source, prepared, tmp_path, settings)
    names = {path.name for path in adapter.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "fingerprint.json",
        "run_config.json",
        "train_metrics.json",
        "training_record.json",
    }
    metrics, config = (
        read_json(adapter / "train_metrics.json"),
        read_json(adapter / "run_config.json"),
    )
    assert (
        metrics["totals"]["steps"] == len(metrics["steps"]) == 2 * 3
    )  # 10 conversations, 4 a step
    assert metrics["totals"]["tokens"] == 2 * metrics["data"]["train_tokens"]
    assert all(step["padding_fraction"] == 0 for step in metrics["steps"])
    likelihood = metrics["likelihood"]
    for split in ("train", "validation"):
        assert (
            likelihood[split]["adapter"]["nll_per_token"]
            < likelihood[split]["base"]["nll_per_token"]
        )
    assert metrics["power"]["status"] in ("ok", "not_run")
    assert config["settings"] == settings
    assert config["determinism"]["seed"] == settings["seed"]
    assert config["data_sha256"]["train.jsonl"] == sha256_file(prepared / "train.jsonl")
    weights = sha256_file(adapter / "adapter_model.safetensors")
    assert read_json(adapter / "fingerprint.json")["sha256"]["adapter_model.safetensors"] == weights
    saved = read_json(adapter / "adapter_config.json")
    assert saved["base_model_name_or_path"] == "tiny-random-llama"
    assert saved["target_modules"] == sorted(settings["target_modules"])
    assert not (tmp_path / "work").exists()


def test_metrics_and_run_config_keep_their_schemas(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """With evaluations during training too, both files validate."""
    adapter = train(tiny_source, prepared, tmp_path, settings | {"evaluations_per_epoch": 1})
    for name in ("train_metrics", "run_config"):
        assert faults_of(adapter / f"{name}.json", name) == []
    assert [row["step"] for row in read_json(adapter / "train_metrics.json")["evaluations"]] == [
        3,
        6,
    ]


def test_the_adapter_is_saved_in_the_precision_asked_for(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """bfloat16 holds the adapter rounded once; it merges and loads as recorded."""
    saved = {}
    for dtype in ("float32", "bfloat16"):
        adapter = train(
            tiny_source, prepared, tmp_path / dtype, settings | {"adapter_dtype": dtype}
        )
        saved[dtype] = load_file(adapter / "adapter_model.safetensors")
        assert {str(tensor.dtype) for tensor in saved[dtype].values()} == {f"torch.{dtype}"}
        assert read_json(adapter / "run_config.json")["settings"]["adapter_dtype"] == dtype
    for name, tensor in saved["bfloat16"].items():
        torch.testing.assert_close(tensor, saved["float32"][name].bfloat16(), rtol=0, atol=0)
    adapter = tmp_path / "bfloat16" / "adapter"
    merge_adapter(
        model=tiny_source,
        adapter=adapter / "fingerprint.json",
        conversations=prepared / "validation.jsonl",
        report=tmp_path / "merged" / "merge_report.json",
        settings={"dtype": "float32", "max_shard_size": "5GB", "max_logit_difference": 1e-3},
    )
    model = load_variant(
        "lora",
        base=tiny_source.parent,
        adapter=adapter,
        merged=None,
        dtype="float32",
        use_4bit=False,
    )
    rows = ((f"{number}", row) for number, row in read_jsonl(prepared / "validation.jsonl"))
    items, _ = encode_conversations(
        load_tokenizer(tiny_source.parent), rows, settings["max_seq_length"]
    )
    nll = 0.0
    for item in items:
        tokens, labels = torch.tensor([item.input_ids]), torch.tensor([item.labels])
        logits = model(input_ids=tokens).logits[0, :-1].float()
        nll += torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum").item()
    recorded = read_json(adapter / "train_metrics.json")["likelihood"]["validation"]["adapter"][
        "nll_sum"
    ]
    assert nll == pytest.approx(recorded, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "step", "checkpoint", "changes"),
    [
        ("training_step", 4, 4, {"packing": True}),
        ("training_step", 1, 1, {"packing": False}),
        ("_save_rng_state", 3, 2, {"packing": True}),
        ("_loss", 2, 2, {"packing": True, "dtype": "bfloat16"}),
        ("training_step", 3, 3, {"packing": True, "use_4bit": True}),
        ("training_step", 0, None, {"packing": True}),
        ("_finalize_training", 6, 6, {"packing": True}),
    ],
)
def test_a_killed_run_ends_bit_identical_to_an_uninterrupted_one(
    tiny_source: Path,
    prepared: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    root: Path,
    method: str,
    step: int,
    checkpoint: int | None,
    changes: dict[str, Any],
) -> None:
    """Killed in a step, while saving or at the end: same adapter, same loss curve.

    The metrics say at which step the last process began.
    """
    settings |= changes
    whole = train(tiny_source, prepared, tmp_path / "whole", settings)
    kill_while_training(tiny_source, prepared, tmp_path / "killed", settings, method, step, root)
    resumed = train(tiny_source, prepared, tmp_path / "killed", settings)
    assert (resumed / "fingerprint.json").read_bytes() == (whole / "fingerprint.json").read_bytes()
    losses = [
        [row["loss"] for row in read_json(folder / "train_metrics.json")["steps"]]
        for folder in (whole, resumed)
    ]
    assert losses[0] == losses[1]
    events = [event["event"] for event in read_json(resumed / "run_config.json")["history"]]
    assert events == ["started", "resumed" if checkpoint else "started"]
    resumed_at = [
        read_json(folder / "train_metrics.json")["resumed_at_step"] for folder in (whole, resumed)
    ]
    assert resumed_at == [None, checkpoint]


@pytest.mark.slow
def test_packing_and_batch_split_do_not_change_the_recipe(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Packed, padded and one at a time learn the same adapter up to rounding."""
    settings |= {"lora_dropout": 0.0, "max_seq_length": 4096}
    variants: dict[str, dict[str, Any]] = {
        "packed": {"packing": True},
        "padded": {"packing": False},
        "single": {"packing": False, "batch_size": 1, "gradient_accumulation": 4},
    }
    adapters = {
        name: load_file(
            train(tiny_source, prepared, tmp_path / name, settings | changes)
            / "adapter_model.safetensors"
        )
        for name, changes in variants.items()
    }
    for name in ("padded", "single"):
        for key, expected in adapters["packed"].items():
            torch.testing.assert_close(adapters[name][key], expected, rtol=1e-3, atol=1e-4)


def test_a_changed_recipe_does_not_resume_old_checkpoints(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any], root: Path
) -> None:
    """Checkpoints of another learning rate are discarded."""
    kill_while_training(tiny_source, prepared, tmp_path / "old", settings, "training_step", 2, root)
    changed = settings | {"learning_rate": 5e-3}
    fresh = train(tiny_source, prepared, tmp_path / "fresh", changed)
    after = train(tiny_source, prepared, tmp_path / "old", changed)
    assert (after / "fingerprint.json").read_bytes() == (fresh / "fingerprint.json").read_bytes()


def test_wrong_input_is_one_clear_line(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Unknown keys, foreign target modules and files without conversations are named."""
    with pytest.raises(ConfigurationError, match=r"train_adapter\.lora_rank"):
        train(tiny_source, prepared, tmp_path, settings | {"lora_rank": 4})
    with pytest.raises(ConfigurationError, match="no linear layer 'c_attn'"):
        train(tiny_source, prepared, tmp_path, settings | {"target_modules": ["c_attn"]})
    write_jsonl(tmp_path / "train.jsonl", [])
    write_jsonl(tmp_path / "validation.jsonl", [])
    with pytest.raises(DataError, match="nothing to learn"):
        train(tiny_source, tmp_path, tmp_path, settings)


@pytest.mark.parametrize(
    ("dtype", "fast", "lines"), [("bfloat16", False, 1), ("bfloat16", True, 0), ("auto", False, 0)]
)
def test_a_slow_precision_is_one_warning(
    dtype: str,
    fast: bool,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """bfloat16 on a processor without such arithmetic; auto never chooses it."""
    monkeypatch.setattr("lorabench.observation.matrix_speed.fast_bfloat16", lambda: fast)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    warn_of_slow_bfloat16(dtype)
    assert len(caplog.records) == lines
