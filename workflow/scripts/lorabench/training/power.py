"""Power, energy and memory of the GPUs while a block runs, as the driver (NVML) tells them."""

import os
import threading
import time
from itertools import pairwise
from typing import Any

import pynvml
import torch

INTERVAL_SECONDS = 0.2
JOULES_PER_KWH = 3.6e6


class PowerMeter:
    """Context manager that reads the GPUs of this machine's training processes until its block
    ends.

    Energy is the difference of the driver's counter; a GPU without one (before Volta) is integrated
    from its sampled power. Peaks are of samples taken every `INTERVAL_SECONDS`.
    """

    def __init__(self) -> None:
        # why there is nothing to tell
        self.reason: str | None = None
        self.memory: dict[str, int | None] = {
            "gpu_device_peak_bytes": None,
            "gpu_process_peak_bytes": None,
        }
        self._gpus: list[Any] = []
        # joules
        self._start: float | None = None
        self._end: float | None = None
        # monotonic seconds, power of all GPUs
        self._watts: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="power", daemon=True)

    def __enter__(self) -> "PowerMeter":
        try:
            self._gpus = open_gpus()
            if self._gpus:
                self._start = _counted_joules(self._gpus)
                self._sample()
                self._thread.start()
            else:
                self.reason = "no GPU"
        except pynvml.NVMLError as error:
            self.reason = f"NVML: {error}"
        return self

    def __exit__(self, *exception: object) -> None:
        if self.reason is not None:
            return
        self._stop.set()
        self._thread.join()
        try:
            self._sample()
            self._end = _counted_joules(self._gpus)
        except pynvml.NVMLError as error:
            self.reason = f"NVML: {error}"

    def result(self) -> dict[str, Any]:
        """Return mean and peak power, energy and how it was read; status not_run and the reason
        where it was not."""
        if self.reason is not None:
            return {"status": "not_run", "reason": self.reason}
        seconds = self._watts[-1][0] - self._watts[0][0]
        if self._start is None or self._end is None:
            method, joules = "sampled power", _integral(self._watts)
        else:
            method, joules = "energy counter", self._end - self._start
        return {
            "status": "ok",
            "reason": None,
            "method": method,
            "gpus": len(self._gpus),
            "seconds": seconds,
            "mean_watts": joules / seconds,
            "peak_watts": max(watts for _, watts in self._watts),
            "energy_joules": joules,
            "energy_kwh": joules / JOULES_PER_KWH,
        }

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self._sample()
            except pynvml.NVMLError as error:
                self.reason = f"NVML: {error}"
                return

    def _sample(self) -> None:
        """Read power and memory of all GPUs once.

        Raises:
            pynvml.NVMLError: the driver does not tell.
        """
        watts = sum(pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000 for gpu in self._gpus)
        self._watts.append((time.monotonic(), watts))
        used = [pynvml.nvmlDeviceGetMemoryInfo(gpu).used for gpu in self._gpus]
        own = [_process_bytes(gpu) for gpu in self._gpus]
        for name, readings in (("gpu_device_peak_bytes", used), ("gpu_process_peak_bytes", own)):
            known = [value for value in (self.memory[name], *readings) if value is not None]
            self.memory[name] = max(known, default=None)


def open_gpus() -> list[Any]:
    """Return NVML's handles of the GPUs that compute here: this process's one, or those of all
    processes it is one of.

    Raises:
        pynvml.NVMLError: there is a GPU, but no answer from its driver.
    """
    if not torch.cuda.is_available():
        return []
    pynvml.nvmlInit()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    indices = (
        range(min(processes, torch.cuda.device_count()))
        if processes > 1
        else [torch.cuda.current_device()]
    )
    # By UUID, since NVML's order of devices does not follow CUDA_VISIBLE_DEVICES.
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in indices]
    return [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]


def _counted_joules(gpus: list[Any]) -> float | None:
    """Return the joules of all GPUs since the driver was loaded; None where one does not count
    them."""
    try:
        return float(sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in gpus)) / 1000
    except pynvml.NVMLError:
        return None


def _process_bytes(gpu: Any) -> int | None:
    """Return what the driver books for this process; None where it hides processes, as it does from
    containers."""
    entries = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    used = [entry.usedGpuMemory for entry in entries if entry.pid == os.getpid()]
    return used[0] if used else None


def _integral(watts: list[tuple[float, float]]) -> float:
    """Return the joules below a curve of (seconds, watts), by trapezoids."""
    return sum(
        (after - before) * (first + second) / 2
        for (before, first), (after, second) in pairwise(watts)
    )
