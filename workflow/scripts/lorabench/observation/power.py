"""Power, energy and memory of the GPUs while a block runs, as their driver (NVML) reports them."""

import os
import threading
import time
from itertools import pairwise
from typing import Any

import torch
from pynvml import NVMLError

from lorabench.gpu_state import joules, open_gpu, process_bytes, used_bytes, watts

INTERVAL_SECONDS = 0.2


class PowerMeter:
    """Reads the GPUs of this machine's training processes until its block ends.

    Energy is the difference of the driver's counter; a GPU without one (before Volta) is integrated
    from its sampled power. Peaks are of samples taken every `INTERVAL_SECONDS`.
    """

    def __init__(self) -> None:
        # why there are no readings
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
        except NVMLError as error:
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
        except NVMLError as error:
            self.reason = f"NVML: {error}"

    def readings(self) -> dict[str, Any]:
        """Return energy (J), time (s), peak power (W) and method, or why nothing was read."""
        if self.reason is not None:
            return {"reason": self.reason}
        if self._start is None or self._end is None:
            method, energy = "sampled power", _integral(self._watts)
        else:
            method, energy = "energy counter", self._end - self._start
        return {
            "reason": None,
            "method": method,
            "gpus": len(self._gpus),
            "seconds": self._watts[-1][0] - self._watts[0][0],
            "energy_joules": energy,
            "peak_watts": max(power for _, power in self._watts),
        }

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self._sample()
            except NVMLError as error:
                self.reason = f"NVML: {error}"
                return

    def _sample(self) -> None:
        """Read power and memory of all GPUs once.

        Raises:
            NVMLError: the driver does not say.
        """
        self._watts.append((time.monotonic(), sum(watts(gpu) for gpu in self._gpus)))
        used = [used_bytes(gpu) for gpu in self._gpus]
        own = [process_bytes(gpu).get(os.getpid()) for gpu in self._gpus]
        for name, readings in (("gpu_device_peak_bytes", used), ("gpu_process_peak_bytes", own)):
            known = [value for value in (self.memory[name], *readings) if value is not None]
            self.memory[name] = max(known, default=None)


def open_gpus() -> list[Any]:
    """Return NVML's handles of the GPUs of this training, of all its processes.

    Raises:
        NVMLError: there is a GPU, but no answer from its driver.
    """
    if not torch.cuda.is_available():
        return []
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    indices = (
        range(min(processes, torch.cuda.device_count()))
        if processes > 1
        else [torch.cuda.current_device()]
    )
    return [open_gpu(f"GPU-{torch.cuda.get_device_properties(index).uuid}") for index in indices]


def _counted_joules(gpus: list[Any]) -> float | None:
    """Return the joules of all GPUs since the driver was loaded; None where one does not count."""
    counts = [joules(gpu) for gpu in gpus]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _integral(curve: list[tuple[float, float]]) -> float:
    """Return the joules below a curve of (seconds, watts), by trapezoids."""
    return sum(
        (after - before) * (first + second) / 2
        for (before, first), (after, second) in pairwise(curve)
    )
