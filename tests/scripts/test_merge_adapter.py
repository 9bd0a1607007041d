"""merge_adapter writes a checkpoint equal to base + adapter, or refuses."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from lorabench.errors import MeasurementError
from lorabench.files import read_json, sha256_file
from lorabench.training.adapter.folder import write_fingerprint
from merge_adapter import merge_adapter
from training_fixtures import make_adapter

pytest_plugins = ["training_fixtures"]


def merge(
    source: Path, prepared: Path, folder: Path, dtype: str, limit: float = 1e-3, shard: str = "5GB"
) -> Path:
    """Merge a random adapter and return the report."""
    adapter = make_adapter(source.parent, folder / "adapter")
    write_fingerprint(adapter / "fingerprint.json", adapter)
    report = folder / "merged" / "merge_report.json"
    merge_adapter(
        model=source,
        adapter=adapter / "fingerprint.json",
        conversations=prepared / "validation.jsonl",
        report=report,
        settings={"dtype": dtype, "max_shard_size": shard, "max_logit_difference": limit},
    )
    return report


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_merged_checkpoint_is_base_plus_adapter(
    tiny_source: Path, prepared: Path, tmp_path: Path, dtype: str
) -> None:
    """Loaded by itself it gives the logits of the two apart, in one cast from the float32 sum."""
    report = merge(tiny_source, prepared, tmp_path, dtype)
    merged = AutoModelForCausalLM.from_pretrained(report.parent)
    assert str(merged.dtype) == f"torch.{dtype}"
    apart = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_source.parent, dtype=torch.float32),
        tmp_path / "adapter",
    ).merge_and_unload()
    for name, tensor in merged.state_dict().items():
        torch.testing.assert_close(
            tensor, apart.state_dict()[name].to(merged.dtype), rtol=0, atol=0
        )
    content = read_json(report)
    assert content["float32"]["max_abs_logit_difference"] < 1e-4
    assert content["float32"]["greedy_agreement"] == 1.0
    assert content["sha256"]["model.safetensors"] == sha256_file(
        report.parent / "model.safetensors"
    )
    assert {"tokenizer.json", "tokenizer_config.json", "generation_config.json"} <= set(
        content["sha256"]
    )
    original = AutoTokenizer.from_pretrained(tiny_source.parent)
    assert AutoTokenizer.from_pretrained(report.parent).chat_template == original.chat_template


def test_large_checkpoints_are_sharded(tiny_source: Path, prepared: Path, tmp_path: Path) -> None:
    """The shard size is that of the settings."""
    report = merge(tiny_source, prepared, tmp_path, "float32", shard="300KB")
    assert len(list(report.parent.glob("model-*-of-*.safetensors"))) > 1
    AutoModelForCausalLM.from_pretrained(report.parent)


def test_a_difference_above_the_limit_fails(
    tiny_source: Path, prepared: Path, tmp_path: Path
) -> None:
    """No checkpoint is left that a later stage could take for a good one."""
    with pytest.raises(MeasurementError, match="max_logit_difference"):
        merge(tiny_source, prepared, tmp_path, "float32", limit=1e-12)
    assert not (tmp_path / "merged").exists()
