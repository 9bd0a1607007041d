"""The estimate: known counts of Llama 3 8B, sane predictions, no torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lorabench.control.base_model import LLAMA_3_8B
from lorabench.control.estimate import choose, estimate
from lorabench.control.memory_model import predict_memory
from lorabench.description.flops import shapes_of, training_flops
from lorabench.description.gpus import GPUS, Device
from lorabench.training.settings import parse_settings

pytest_plugins = ["training_fixtures"]

RECIPE = {
    "lora_r": 64,
    "use_4bit": True,
    "max_seq_length": 2048,
    "num_epochs": 3,
    "batch_size": 4,
    "dtype": "auto",
}


def test_counts_of_llama_3_8b_are_the_known_ones(settings: dict[str, Any]) -> None:
    """167,772,160 parameters at rank 64; 31.5 GFLOP a token, 47.0 with checkpointing.

    By the usual counts: 4N and 6N of 6.979e9 layer and 0.525e9 output parameters, every token
    labelled.
    """
    shapes = shapes_of(LLAMA_3_8B)
    assert shapes.adapter_parameters(64, settings["target_modules"]) == 167_772_160
    assert shapes.layer_parameters == pytest.approx(6.979e9, rel=1e-3)
    kept = training_flops(shapes, 167_772_160, 512, 512, 512**2, False) / 512
    recomputed = training_flops(shapes, 167_772_160, 512, 512, 512**2, True) / 512
    assert kept == pytest.approx(31.5e9, rel=0.03)
    assert recomputed == pytest.approx(47.0e9, rel=0.03)


@pytest.mark.parametrize("name", list(GPUS))
def test_qlora_of_8b_fits_every_named_gpu(name: str, settings: dict[str, Any]) -> None:
    """Checkpointing only below 40 GB; an A100 needs about an hour for three epochs."""
    found = estimate(settings | RECIPE, LLAMA_3_8B, None, GPUS[name])
    assert found.choice.fits
    assert (found.choice.recomputed_layers > 0) == (GPUS[name].memory_bytes < 40e9)
    if name == "A100-80":
        assert 0.5 * 3600 < found.seconds < 2 * 3600


def test_what_cannot_fit_is_refused_with_a_way_out(settings: dict[str, Any]) -> None:
    """8B in bfloat16 does not fit 16 GB; in 4 bits it does. On 4 GB nothing helps."""
    large = settings | RECIPE | {"use_4bit": False}
    found = estimate(large, LLAMA_3_8B, None, GPUS["L4"])
    assert found.choice.fits  # 16 GB of weights, checkpointed
    small = Device(name="16 GB", memory_bytes=16e9, bfloat16_flops=1e14, float32_flops=1e13)
    refused = estimate(large, LLAMA_3_8B, None, small)
    assert not refused.choice.fits and refused.suggestions[0] == "use_4bit: true"
    tiny = Device(name="4 GB", memory_bytes=4e9, bfloat16_flops=1e14, float32_flops=1e13)
    assert "smaller base model" in estimate(large, LLAMA_3_8B, None, tiny).suggestions[0]


@pytest.mark.parametrize(
    ("use_4bit", "tokens", "published"),
    [(False, 256, 20.1), (False, 2048, 23.8), (True, 256, 11.5), (True, 2048, 13.9)],
)
def test_published_peaks_of_qwen_7b(
    use_4bit: bool, tokens: int, published: float, settings: dict[str, Any]
) -> None:
    """README of QwenLM/Qwen, A100, one row; docs/training.md says why they differ."""
    shapes = shapes_of(
        LLAMA_3_8B | {"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 151936}
    )
    recipe = parse_settings(
        settings | {"lora_r": 64, "use_4bit": use_4bit, "max_seq_length": tokens}
    )
    found = predict_memory(
        shapes,
        recipe,
        number_bytes=2,
        tokens=tokens,
        recomputed=shapes.layers,
        gpu=True,
        compiled=False,
    )
    # of a whole row, which that training holds: bfloat16, float32 and gradient
    logits = 10 * tokens * shapes.vocabulary
    assert (found.peak + logits) / 1e9 == pytest.approx(published, rel=0.12)


# One H200, 2026-11-26, Llama 3 8B's shapes, the default recipe with these changes: tokens of a row,
# settings, GB allocated, tokens a second. Rows of 8,192 and varlen_attn are prototypes of this
# method; the others, of an earlier version, took other kernels of attention and the same memory.
MEASURED: list[tuple[int, dict[str, Any], float, float | None]] = [
    (2048, {"compile": False}, 26.2, None),
    # two runs, 3,750 and 6,030 tokens a second
    (2048, {"compile": False}, 27.0, (3750 + 6030) / 2),
    (2048, {"compile": False, "use_4bit": False}, 36.6, None),
    (2048, {"compile": False, "lora_dropout": 0.0}, 22.1, None),
    (8192, {"compile": False}, 78.8, 9270),
    (8192, {"compile": True, "use_4bit": False}, 77.7, 13980),
]


@pytest.mark.parametrize(("tokens", "changes", "allocated", "speed"), MEASURED)
def test_what_an_h200_showed(
    tokens: int,
    changes: dict[str, Any],
    allocated: float,
    speed: float | None,
    settings: dict[str, Any],
) -> None:
    """Peak memory is predicted within 10 %, time within 20 %."""
    recipe = (
        settings | RECIPE | {"lora_r": 64, "lora_dropout": 0.05, "row_tokens": tokens} | changes
    )
    data = {"train_conversations": 160, "train_tokens": 58846}
    found = estimate(recipe, LLAMA_3_8B, data, GPUS["H200"])
    assert found.choice.row_tokens == tokens and found.choice.recomputed_layers == 0
    # what other processes and the driver hold is not allocated by PyTorch
    predicted = found.peak_memory_bytes - found.choice.memory.process
    assert predicted / 1e9 == pytest.approx(allocated, rel=0.1)
    if speed is not None:
        assert 3 * 58846 / found.seconds == pytest.approx(speed, rel=0.2)


def test_the_least_memory_is_no_more_than_trls(settings: dict[str, Any]) -> None:
    """trl 1.16 with its defaults allocated 10.6 GB in NF4 (one H200, 2026-11-26)."""
    recipe = settings | RECIPE | {"lora_dropout": 0.05, "memory": "least"}
    found = estimate(recipe, LLAMA_3_8B, None, GPUS["H200"])
    assert found.choice.recomputed_layers == 32
    assert found.peak_memory_bytes - found.choice.memory.process <= 10.6e9


def test_several_gpus_divide_a_base_that_none_holds_alone(settings: dict[str, Any]) -> None:
    """8B in bfloat16 does not fit a 16 GB GPU, and fits four of them with fsdp."""
    options = parse_settings(settings | RECIPE | {"use_4bit": False, "fsdp": True})
    gpu = Device(name="16 GB", memory_bytes=16e9, bfloat16_flops=1e14, float32_flops=1e13)
    assert not choose(options, shapes_of(LLAMA_3_8B), gpu).fits
    assert choose(options, shapes_of(LLAMA_3_8B), gpu, processes=4).fits


def test_the_estimate_is_light(root: Path) -> None:
    """Preflight imports it, so it must not bring torch along."""
    code = "import sys, lorabench.control.estimate; sys.exit('torch' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root / "workflow/scripts")},
        check=True,
        timeout=60,
    )
