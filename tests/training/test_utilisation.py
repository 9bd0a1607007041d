"""Utilisation: a share of a named peak, or null with the reason."""

import time

import pytest
import torch

from lorabench.control.estimate import GPUS
from lorabench.description.utilisation import known_gpu, utilisation


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cpus_peak_is_measured(dtype: torch.dtype) -> None:
    """No smaller product is much faster than the peak, and processes multiply it."""
    small = torch.ones(512, 512, dtype=dtype)
    started = time.perf_counter()
    for _ in range(20):
        torch.mm(small, small)
    reached = 20 * 2 * 512**3 / (time.perf_counter() - started)
    found = utilisation(2 * reached, dtype, torch.device("cpu"), 2)
    assert 0 < found["share"] < 4  # loosely: the machine may be busy
    assert found["share"] == 2 * reached / found["peak_flops_per_second"]
    assert found["peak_name"].startswith("2 x ")


def test_an_unknown_peak_is_null_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU outside the table has no share."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L40")
    found = utilisation(1e12, torch.bfloat16, torch.device("cuda"), 1)
    assert found["share"] is found["peak_name"] is found["peak_flops_per_second"] is None
    assert found["reason"] == "no bfloat16 peak is known of NVIDIA L40"
