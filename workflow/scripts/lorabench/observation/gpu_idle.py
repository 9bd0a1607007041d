"""Measure, over a few optimiser steps, which share of the time the GPU had no work.

A GPU that waits is fed too slowly: Python launches its kernels one by one, and with small layers,
short rows or uncompiled layers that takes longer than the kernels themselves.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# Steps of this process that are profiled, counted from 1: after compilation, and when the
# allocator has found its blocks.
PROFILED = (4, 5, 6)


class IdleMeter:
    """Sums busy and whole time of the profiled steps."""

    def __init__(self, device: torch.device) -> None:
        """Measure on `device`; on a CPU nothing is measured."""
        self.device = device
        self.steps = 0
        self.busy_seconds = 0.0
        self.seconds = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Wrap the passes of one optimiser step."""
        self.steps += 1
        if self.device.type != "cuda" or self.steps not in PROFILED:
            yield
            return
        torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            yield
            torch.cuda.synchronize(self.device)
            self.seconds += time.perf_counter() - started
        self.busy_seconds += covered(on_device(found.events())) / 1e6

    def reading(self) -> dict[str, Any]:
        """Return the idle share and the measured seconds, or null with the reason."""
        share = 1 - self.busy_seconds / self.seconds if self.seconds else None
        on_gpu = self.device.type == "cuda"
        reason = "the training had too few steps" if on_gpu else "trained on a CPU"
        return {
            "idle_share": share,
            "seconds": self.seconds,
            "reason": None if self.seconds else reason,
        }


def on_device(events: Iterable[Any]) -> list[tuple[float, float]]:
    """Return start and end in microseconds of what ran on the GPU: kernels and copies."""
    return [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the time that at least one of the spans covers."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
