"""Measure, over a few steps, the share of time that the GPU had no work or waited for data.

The second is the share that went into preparing the next batch.

A GPU that waits is fed too slowly: mostly because Python launches its kernels one by one, and with
small layers, short rows or uncompiled layers that takes longer than the kernels themselves.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from lorabench.gpu_state import busy_seconds

# The first profiled step of this process, counted from 1, after compilation and when the allocator
# has found its blocks; and how many are profiled.
FIRST, STEPS = 4, 3


class IdleMeter:
    """Sums busy time, whole time and the time that data took, over the profiled steps."""

    def __init__(self, device: torch.device) -> None:
        """Measure on `device`; on a CPU nothing is measured."""
        self.device = device
        self.steps = 0
        self.profiler: profile | None = None
        self.started = 0.0
        self.seconds = 0.0
        self.busy_seconds = 0.0
        self.data_seconds = 0.0

    def step_begins(self) -> None:
        """Note that a step begins; what comes until the next one belongs to it.

        That is passes, optimiser, logging, and the batch of the next step.
        """
        self.steps += 1
        if self.device.type != "cuda":
            return
        if self.steps == FIRST:
            self.profiler = profile(activities=[ProfilerActivity.CUDA])
            self.profiler.start()
            torch.cuda.synchronize(self.device)
            self.started = time.perf_counter()
        elif self.steps == FIRST + STEPS and self.profiler is not None:
            torch.cuda.synchronize(self.device)
            self.seconds = time.perf_counter() - self.started
            self.profiler.stop()
            self.busy_seconds = busy_seconds(self.profiler.events())
            self.profiler = None

    @contextmanager
    def preparing_data(self) -> Iterator[None]:
        """Wrap what gets a batch and divides it."""
        started = time.perf_counter()
        yield
        if self.profiler is not None:
            self.data_seconds += time.perf_counter() - started

    def reading(self) -> dict[str, Any]:
        """Return idle share, share of data and measured seconds, or null with the reason."""
        if self.profiler is not None:
            self.profiler.stop()
        on_gpu = self.device.type == "cuda"
        reason = "the training had too few steps" if on_gpu else "trained on a CPU"
        measured = self.seconds > 0
        return {
            "idle_share": 1 - self.busy_seconds / self.seconds if measured else None,
            "data_share": self.data_seconds / self.seconds if measured else None,
            "seconds": self.seconds,
            "reason": None if measured else reason,
        }
