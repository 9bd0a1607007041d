"""Compare the speed of training with the peak of the device that it ran on, where that peak is
known."""

import re
import time
from typing import Any

import torch

from lorabench.control.estimate import GPUS, Device

# of the matrix products by which a CPU's peak is measured
SIDE, PRODUCTS = 2048, 5


def known_gpu(name: str) -> Device | None:
    """Return the row of the GPU table for a device as CUDA names it; None where the table has none.

    H100 and H200 of the table are the SXM modules; their NVL cards are slower and stand in no row.
    """
    if "NVL" in name:
        return None
    joined = name.replace("RTX ", "RTX").replace("H100 PCIe", "H100PCIe")
    for key, device in GPUS.items():
        if re.search(rf"(?<![A-Za-z0-9]){key.partition('-')[0]}(?![A-Za-z0-9])", joined):
            return device
    return None


def utilisation(
    flops_per_second: float, dtype: torch.dtype, device: torch.device, processes: int
) -> dict[str, Any]:
    """Return the share of the peak that `flops_per_second` is; null, with the reason, where the
    peak is not known.

    Args:
        flops_per_second: of all processes together.
        dtype: in which the layers multiplied.
        device: of this process; the other processes' devices are taken to be its equals.
        processes: that trained together.
    """
    precision = str(dtype).removeprefix("torch.")
    name, peak = _gpu_peak(precision) if device.type == "cuda" else _cpu_peak(dtype)
    total = peak * processes
    return {
        "peak_name": (f"{processes} x {name}" if processes > 1 else name) if peak else None,
        "precision": precision,
        "peak_flops_per_second": total or None,
        "share": flops_per_second / total if total else None,
        "reason": None if peak else f"no {precision} peak is known of {name}",
    }


def _gpu_peak(precision: str) -> tuple[str, float]:
    """Return name and peak of the current GPU; 0 where the table does not know it."""
    name = torch.cuda.get_device_name()
    gpu = known_gpu(name)
    if gpu is None:
        return name, 0.0
    peak = gpu.bfloat16_flops if precision == "bfloat16" else gpu.float32_flops
    return f"{name} (data sheet, dense)", peak


def _cpu_peak(dtype: torch.dtype) -> tuple[str, float]:
    """Return name and peak of the CPU's threads in use: the best of a few large matrix products,
    timed here."""
    left, right = torch.ones(SIDE, SIDE, dtype=dtype), torch.ones(SIDE, SIDE, dtype=dtype)
    seconds = []
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return (
        f"{torch.get_num_threads()} CPU cores (a large matrix product, timed here)",
        2 * SIDE**3 / min(seconds),
    )
