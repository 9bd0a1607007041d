"""What bounds a decode step: the memory's bandwidth, and a GPU's waiting."""

import time
from collections.abc import Sequence

import torch

from lorabench.gpu_state import busy_seconds
from lorabench.inference.decoder import Decoder

# larger than the caches of most processors
COPIED_BYTES = {"cpu": 2**27, "cuda": 2**30}
COPIES = 8
PROFILED_STEPS = 8


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes a second that the fastest of a few large copies read and wrote."""
    source = torch.ones(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(COPIES):
        _wait(device)
        started = time.perf_counter()
        target.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(seconds)


def gpu_idle_share(decoder: Decoder, prompt: Sequence[int]) -> float | None:
    """Return the share of a few decode steps without a kernel on the GPU, None if not known."""
    if decoder.ids.device.type != "cuda":
        return None
    decoder.read(0, prompt)
    decoder.step()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        started = time.perf_counter()
        for _ in range(PROFILED_STEPS):
            decoder.step()
        elapsed = time.perf_counter() - started
    busy = busy_seconds(profile.events() or [])
    # without a kernel in its record the profiler did not see the GPU
    return 1 - busy / elapsed if busy else None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
