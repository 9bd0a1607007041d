"""Read GPUs through their driver (NVML), and the profiler's record of one; needs no torch."""

from collections.abc import Iterable
from typing import Any

import pynvml


def open_gpu(uuid: str) -> Any:
    """Return NVML's handle of a GPU; its order of devices is not that of CUDA_VISIBLE_DEVICES.

    Raises:
        pynvml.NVMLError: the driver does not answer; so do all functions here, unless they say
            otherwise.
    """
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(uuid)


def used_bytes(gpu: Any) -> int:
    """Return the memory in use on a GPU, by all processes."""
    return int(pynvml.nvmlDeviceGetMemoryInfo(gpu).used)


def process_bytes(gpu: Any) -> dict[int, int | None]:
    """Return process id -> memory that the driver books for it, CUDA context included.

    In a container, drivers name no process, or hide what it uses (None).
    """
    entries = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    return {entry.pid: entry.usedGpuMemory for entry in entries}


def watts(gpu: Any) -> float:
    """Return the power that a GPU draws now."""
    return float(pynvml.nvmlDeviceGetPowerUsage(gpu)) / 1000


def joules(gpu: Any) -> float | None:
    """Return the energy used since the driver was loaded, None where it is not counted."""
    try:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1000
    except pynvml.NVMLError:
        return None


def speed_state(gpu: Any) -> dict[str, Any]:
    """Return what a GPU's speed depends on: driver, clock, power, temperature, throttling.

    Throttle reasons are NVML's bit mask (nvmlClocksEventReasons); 0 and 1 (idle) mean full speed.
    """
    return {
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
        "power_watts": watts(gpu),
        "temperature_celsius": pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
        "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    }


def busy_seconds(events: Iterable[Any]) -> float:
    """Return how long a GPU had work, from the events of PyTorch's profiler.

    Kernels and copies that overlap count once; events of the CPU are its calls and do not count.
    """
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type.name == "CUDA"
    )
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    # the profiler counts microseconds
    return total / 1e6
