"""The share of time without GPU work; a CPU's training says why it has none."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorabench.gpu_state import busy_seconds
from lorabench.observation import gpu_idle
from lorabench.observation.gpu_idle import IdleMeter


def test_what_a_gpu_does_at_the_same_time_counts_once() -> None:
    """Kernels of two streams overlap; the profiler's events of the CPU are its calls."""
    kinds = torch.autograd.DeviceType
    events = [
        SimpleNamespace(device_type=kind, time_range=SimpleNamespace(start=start, end=end))
        for kind, start, end in (
            (kinds.CUDA, 5e6, 9e6),
            (kinds.CUDA, 0.0, 2e6),
            (kinds.CUDA, 1e6, 4e6),
            (kinds.CUDA, 6e6, 7e6),
            (kinds.CPU, 20e6, 30e6),
        )
    ]
    assert busy_seconds(events) == 8.0
    assert busy_seconds([]) == 0


def test_a_cpu_gives_a_reason_instead() -> None:
    """And its steps run unchanged."""
    meter = IdleMeter(torch.device("cpu"))
    for _ in range(9):
        meter.step_begins()
        with meter.preparing_data():
            pass
    reading = meter.reading()
    assert reading["idle_share"] is reading["data_share"] is None
    assert reading["reason"] == "trained on a CPU"


class Clock:
    """Stands in for the module time: each reading is a second later."""

    now = 0.0

    def perf_counter(self) -> float:
        """Return the time."""
        self.now += 1.0
        return self.now


class Profiler:
    """Stands in for CUPTI: one kernel of three seconds in all."""

    def __init__(self, activities: Any) -> None:
        self.running = False

    def start(self) -> None:
        """Begin."""
        self.running = True

    def stop(self) -> None:
        """End."""
        assert self.running
        self.running = False

    def events(self) -> list[Any]:
        """Return the kernel."""
        span = SimpleNamespace(start=0.0, end=3e6)
        return [SimpleNamespace(device_type=torch.autograd.DeviceType.CUDA, time_range=span)]


@pytest.mark.parametrize(("steps", "measured"), [(5, False), (7, True), (12, True)])
def test_whole_steps_are_measured(
    steps: int, measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start of the fourth step to that of the seventh, with what gets the batches.

    A training that ends before has a reason instead. Clock and profiler are made up: two readings a
    batch, and one at each end.
    """
    monkeypatch.setattr(gpu_idle, "time", Clock())
    monkeypatch.setattr(gpu_idle, "profile", Profiler)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    meter = IdleMeter(torch.device("cuda"))
    for _ in range(steps):
        meter.step_begins()
        with meter.preparing_data():
            pass
    reading = meter.reading()
    assert (reading["reason"] is None) == measured
    if measured:
        # three batches of one second and four waits of one second around them
        assert reading["seconds"] == 7.0
        assert reading["idle_share"] == pytest.approx(4 / 7)
        assert reading["data_share"] == pytest.approx(3 / 7)
