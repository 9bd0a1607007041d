"""Read GPUs through their driver (NVML); needs no torch."""

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
