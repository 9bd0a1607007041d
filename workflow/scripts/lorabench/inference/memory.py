"""Memory of one process, load and steady state apart, in MiB.

A process's lifetime peak includes the loading of the model, which differs between variants for
reasons that have nothing to do with inference; therefore the counters are reset once the model is
loaded.
"""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from lorabench.inference.machine_state import MIB, gpu_process_mib

KIB_PER_MIB = 1024
# Linux: proc_pid_clear_refs(5), resets VmHWM
RESET_PEAK = "5"


class MemoryMeter:
    """Reads this process's memory before loading, after loading and after generating."""

    def __init__(self) -> None:
        """Start before the model is loaded."""
        self._readings: dict[str, float | None] = {"resident_before_load_mib": resident_mib()}

    def loaded(self) -> None:
        """Record the load peak and reset the peak counters."""
        self._readings["load_peak_resident_mib"] = peak_resident_mib()
        self._readings["resident_after_load_mib"] = resident_mib()
        self._readings["load_peak_gpu_allocated_mib"] = _gpu(torch.cuda.max_memory_allocated)
        self._reset = reset_peak_resident()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def read(self) -> dict[str, float | None]:
        """Return all readings, the steady state's as of now; None where the machine cannot say."""
        return self._readings | {
            "steady_resident_mib": resident_mib(),
            "steady_peak_resident_mib": peak_resident_mib() if self._reset else None,
            "steady_peak_gpu_allocated_mib": _gpu(torch.cuda.max_memory_allocated),
            "steady_peak_gpu_reserved_mib": _gpu(torch.cuda.max_memory_reserved),
            "gpu_process_mib": gpu_process_mib(gpu_uuid(), os.getpid()),
        }


def resident_mib() -> float:
    """Return the resident set size of this process."""
    return float(psutil.Process().memory_info().rss / MIB)


def peak_resident_mib() -> float | None:
    """Return the peak resident set size since the last reset (VmHWM), None without /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) / KIB_PER_MIB for line in lines if line.startswith("VmHWM:")), None
    )


def reset_peak_resident() -> bool:
    """Reset VmHWM to the present resident set size; return whether the system allowed it."""
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def gpu_uuid() -> str | None:
    """Return the GPU's id as NVML spells it, None on a CPU."""
    return f"GPU-{torch.cuda.get_device_properties(0).uuid}" if torch.cuda.is_available() else None


def _gpu(reading: Callable[[], int]) -> float | None:
    return reading() / MIB if torch.cuda.is_available() else None
