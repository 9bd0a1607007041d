"""The share of time in which a GPU had no work: spans are joined, and a CPU's training says why it
has none."""

from types import SimpleNamespace

import pytest
import torch

from lorabench.observation.gpu_idle import IdleMeter, covered, on_device


def test_spans_that_overlap_count_once() -> None:
    """Kernels of two streams run at the same time."""
    assert covered([]) == 0
    assert covered([(5.0, 9.0), (0.0, 2.0), (1.0, 4.0), (6.0, 7.0)]) == 8.0


def test_only_what_ran_on_the_gpu_counts() -> None:
    """The profiler's events of the CPU are its calls, not work of the GPU."""
    kinds = torch.autograd.DeviceType
    events = [
        SimpleNamespace(device_type=kind, time_range=SimpleNamespace(start=start, end=start + 1.0))
        for kind, start in ((kinds.CUDA, 3.0), (kinds.CPU, 5.0))
    ]
    assert on_device(events) == [(3.0, 4.0)]


def test_a_cpu_gives_a_reason_instead() -> None:
    """And its steps run as they are."""
    meter = IdleMeter(torch.device("cpu"))
    for _ in range(6):
        with meter.step():
            pass
    reading = meter.reading()
    assert reading["idle_share"] is None and reading["reason"] == "trained on a CPU"
    meter.busy_seconds, meter.seconds = 0.5, 2.0
    assert meter.reading()["idle_share"] == pytest.approx(0.75)
