"""The machine's state that speed depends on: CPU, load, GPUs, foreign processes; no torch."""

import os
import platform
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pynvml import NVMLError

from lorabench.gpu_state import open_gpu, process_bytes, speed_state
from lorabench.processor import cores, processor_name

MIB = 2**20
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
CGROUP = Path("/sys/fs/cgroup")


def describe_machine() -> dict[str, Any]:
    """Return what does not change during a run; None where the system does not say."""
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
    """Return the memory that new processes may use, by the system or the control group (v2)."""
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
    """Return what the driver books for a process on a GPU, None without an answer."""
    if uuid is None:
        return None
    try:
        return _mib(process_bytes(open_gpu(uuid)).get(process))
    except NVMLError:
        return None


def gpu_state(uuid: str | None, own: Collection[int]) -> dict[str, Any] | None:
    """Return a GPU's state and the processes other than `own` on it, None on a CPU."""
    if uuid is None:
        return None
    try:
        gpu = open_gpu(uuid)
        state = speed_state(gpu)
    except NVMLError as error:
        return {"unknown": str(error)}
    processes: dict[int, int | None] = {}
    # some systems report the GPU and not its processes
    with suppress(NVMLError):
        processes = process_bytes(gpu)
    others = [
        {"process": process, "used_mib": _mib(used)}
        for process, used in processes.items()
        if process not in own
    ]
    return state | {"other_processes": others}


def _mib(size: int | None) -> float | None:
    return None if size is None else size / MIB
