"""Utilisation: a share of a named peak, or null with the reason."""

from itertools import count
from typing import Any

import pytest
import torch

from lorabench.description.gpus import GPUS, known_gpu
from lorabench.description.utilisation import gpu_idle, speed_sentences, utilisation
from lorabench.observation.matrix_speed import BUDGET_SECONDS, LARGEST_SIDE, REPEATS, matrix_speed


def record(device: str, **changes: Any) -> Any:
    """Return the fields of a training's record that utilisation reads."""
    return {
        "resolved": {"dtype": "bfloat16", "device": device, "processes": 2},
        "hardware": {"gpus": []},
        "matrix_speed": None,
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100-40"),  # both rows have the same peaks
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("Tesla T4", "T4"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 PCIe", "H100PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA T400 4GB", None),
    ],
)
def test_a_gpu_is_known_by_its_whole_name(name: str, key: str | None) -> None:
    """Names that merely begin alike are other devices."""
    assert known_gpu(name) == (GPUS[key] if key else None)


def test_the_peak_of_a_cpu_is_what_was_timed_when_it_trained() -> None:
    """Processes multiply it."""
    found = utilisation(5e10, record("cpu", matrix_speed={"flops_per_second": 1e11, "threads": 3}))
    assert found["share"] == 5e10 / 2e11
    assert (found["peak_name"] or "").startswith("2 x 3 CPU cores")


def test_the_peak_of_a_gpu_is_in_the_table() -> None:
    """The record names the GPU that trained, by its number."""
    gpus = [{"name": "NVIDIA L40"}, {"name": "NVIDIA A100-SXM4-80GB"}]
    found = utilisation(312e12, record("cuda:1", hardware={"gpus": gpus}))
    assert found["share"] == 0.5
    assert found["peak_name"] == "2 x NVIDIA A100-SXM4-80GB (data sheet, dense)"


def test_an_unknown_peak_is_null_with_the_reason() -> None:
    """A GPU outside the table has no share."""
    found = utilisation(1e12, record("cuda:0", hardware={"gpus": [{"name": "NVIDIA L40"}]}))
    assert found["share"] is found["peak_name"] is found["peak_flops_per_second"] is None
    assert found["reason"] == "no bfloat16 peak is known of NVIDIA L40"


def test_a_gpu_that_waits_gets_a_sentence_on_what_to_change() -> None:
    """Which names the settings that make launches of kernels many and small."""
    resolved = {"compiled": False, "not_compiled_because": "no C compiler", "row_tokens": 2048}
    settings = {"packing": True}

    def sentence(share: float, data: float = 0.01, **changes: Any) -> str:
        reading = {"idle_share": share, "data_share": data, "seconds": 3.0, "reason": None}
        found = gpu_idle(
            record("cuda:0", resolved=resolved | changes, settings=settings, gpu_idle=reading)
        )
        return str(found["sentence"])

    assert sentence(0.05) == "The GPU had no work in 5% of the time."
    assert "no C compiler" in sentence(0.6) and "rows had 2048 tokens" in sentence(0.6)
    fast: dict[str, Any] = {"compiled": True, "not_compiled_because": None, "row_tokens": 8192}
    assert sentence(0.6, **fast).endswith("the model is small for this GPU.")
    assert "bound by launching kernels" in sentence(0.6, 0.2)
    slow_data = sentence(0.6, 0.4)
    assert "bound by its data" in slow_data and "processor cores" in slow_data
    absent = {"idle_share": None, "seconds": 0.0, "reason": "trained on a CPU"}
    assert gpu_idle(record("cpu", gpu_idle=absent))["sentence"] == (
        "Time in which the GPU had no work: not measured (trained on a CPU)."
    )


def test_the_report_says_how_a_training_computed() -> None:
    """What `auto` came to, why layers were not compiled, share of the peak and idle time.

    What an imported record lacks is left out.
    """
    resolved = {"use_4bit": False, "dtype": "bfloat16", "not_compiled_because": "no C compiler"}
    totals = {
        "utilisation": {"share": 0.41, "precision": "bfloat16", "peak_name": "H100"},
        "gpu_idle": {"sentence": "The GPU had no work in 5% of the time."},
    }
    config: dict[str, Any] = {"resolved": resolved, "settings": {"use_4bit": "auto"}}
    assert speed_sentences(totals, config) == [
        "The base was held in bfloat16 (use_4bit: auto: 16-bit weights take at most a third of the"
        " free memory), its layers were not compiled (no C compiler).",
        "41% of the bfloat16 peak of H100.",
        "The GPU had no work in 5% of the time.",
    ]
    resolved |= {"use_4bit": True, "not_compiled_because": None}
    first = speed_sentences(totals, config | {"settings": {"use_4bit": True}})[0]
    assert first == "The base was held in NF4, its layers were compiled."
    unknown = {"utilisation": {"share": None, "reason": "no bfloat16 peak is known of L40"}}
    assert speed_sentences(unknown, {}) == [
        "Share of the device's peak: not known (no bfloat16 peak is known of L40)."
    ]
    assert speed_sentences({}, {}) == []


@pytest.mark.parametrize("rate", [3e8, 1e11, 1e13])
def test_the_reading_keeps_to_its_budget(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of any speed is timed within about a second; this one is made up."""
    spent = 0.0
    calls = count()

    def multiply(left: torch.Tensor, right: torch.Tensor) -> None:
        nonlocal spent
        next(calls)
        spent += 2 * len(left) ** 3 / rate

    monkeypatch.setattr(torch, "mm", multiply)
    found = matrix_speed(torch.float32, clock=lambda: spent)
    assert spent <= BUDGET_SECONDS
    assert found["flops_per_second"] == pytest.approx(rate)
    assert (found["largest_side"] == LARGEST_SIDE) == (rate > 1e10)
    assert next(calls) >= REPEATS
