"""The machine's state that speed depends on: CPU, load, GPU clocks and temperature, foreign GPU
processes. No torch."""

import os
import platform
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pynvml

from lorabench.processor import cores, processor_name

MIB = 2**20
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
CGROUP = Path("/sys/fs/cgroup")


def describe_machine() -> dict[str, Any]:
    """Return what does not change during a run; None where the system does not tell."""
    return {
        "cpu": processor_name() or None,
        "cpu_cores": os.cpu_count(),
        "cpu_cores_allowed": cores(),
        "cpu_governor": (
            GOVERNOR.read_text(encoding="ascii").strip() if GOVERNOR.is_file() else None
        ),
        "memory_mib": psutil.virtual_memory().total // MIB,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def load_average() -> float:
    """Return the runnable processes of the last minute, this run's included."""
    return os.getloadavg()[0]


def available_memory_mib() -> float:
    """Return the memory that processes started now may use: the system's, or what the control group
    (v2) leaves."""
    available = float(psutil.virtual_memory().available)
    # no control group, or the limit is the word "max"
    with suppress(OSError, ValueError):
        group = (
            Path("/proc/self/cgroup")
            .read_text(encoding="utf-8")
            .strip()
            .splitlines()[-1]
            .split("::")[-1]
        )
        folder = CGROUP / group.lstrip("/")
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        available = min(
            available, limit - int((folder / "memory.current").read_text(encoding="ascii"))
        )
    return available / MIB


def gpu_process_mib(uuid: str | None, process: int) -> float | None:
    """Return what the driver books for a process on a GPU, CUDA context included; None without a
    GPU or an answer."""
    used = [
        entry["used_mib"] for entry in _gpu_processes(uuid) or [] if entry["process"] == process
    ]
    return used[0] if used else None


def gpu_state(uuid: str | None, own: Collection[int]) -> dict[str, Any] | None:
    """Return a GPU's driver, clocks, power, temperature, throttling and processes other than `own`;
    None on a CPU.

    Throttle reasons are NVML's bit mask (nvmlClocksEventReasons); 0 and 1 (idle) mean full speed.
    """
    if uuid is None:
        return None
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return {
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
            "power_watts": pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
            "temperature_celsius": pynvml.nvmlDeviceGetTemperature(
                gpu, pynvml.NVML_TEMPERATURE_GPU
            ),
            "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
            "other_processes": [
                entry for entry in _gpu_processes(uuid) or [] if entry["process"] not in own
            ],
        }
    except pynvml.NVMLError as error:
        return {"unknown": str(error)}


def _gpu_processes(uuid: str | None) -> list[dict[str, Any]] | None:
    """Return process id and memory of each process that computes on a GPU; None where that cannot
    be read."""
    if uuid is None:
        return None
    try:
        pynvml.nvmlInit()
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(
            pynvml.nvmlDeviceGetHandleByUUID(uuid)
        )
    except pynvml.NVMLError:
        return None
    return [
        {
            "process": entry.pid,
            "used_mib": None if entry.usedGpuMemory is None else entry.usedGpuMemory / MIB,
        }
        for entry in processes
    ]
