"""What a training was made with and what it took: machine, packages, memory, power, commit."""

import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lorabench.documents.training_record import MachineReadings
from lorabench.observation.git import git_state
from lorabench.observation.matrix_speed import matrix_speed
from lorabench.observation.power import PowerMeter
from lorabench.processor import fast_bfloat16, processor_name

# Variables that change numbers or speed. None of them can hold a secret.
ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "GLIBC_TUNABLES",
    "HF_HUB_OFFLINE",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TOKENIZERS_PARALLELISM",
)


def machine_readings(meter: PowerMeter, dtype: torch.dtype, seed: int) -> MachineReadings:
    """Return the readings of this process for the record of its training.

    Args:
        meter: what it read while this process trained.
        dtype: in which the layers multiplied.
        seed: of the training.
    """
    return {
        "peak_memory": peak_memory() | meter.memory,
        "power": meter.readings(),
        "matrix_speed": None if torch.cuda.is_available() else matrix_speed(dtype),
        "hardware": hardware(),
        "software": software(),
        "determinism": determinism(seed),
        "git": git_state(Path(__file__).parent),
    }


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Note the wall time of a block."""
    started = time.monotonic()
    yield
    seconds[phase] = time.monotonic() - started


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Return the version of every installed distribution, by name in lower case, sorted."""
    found = {
        dist.metadata["Name"].lower(): dist.version
        for dist in importlib.metadata.distributions()
        if dist.metadata["Name"]
    }
    return dict(sorted(found.items()))


def hardware() -> dict[str, Any]:
    """Return what the computation ran on; the GPU's fields only where there is one."""
    machine: dict[str, Any] = {
        "cpu": processor_name(),
        "cpu_cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "fast_bfloat16_cpu": fast_bfloat16(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "torch_threads": torch.get_num_threads(),
        "gpus": [],
    }
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        machine["gpus"].append(
            {
                "name": properties.name,
                "memory_bytes": properties.total_memory,
                "capability": f"{properties.major}.{properties.minor}",
            }
        )
    return machine


def software() -> dict[str, Any]:
    """Return the interpreter, the system and the versions of all packages."""
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "packages": package_versions(),
    }


def determinism(seed: int) -> dict[str, Any]:
    """Return what decides whether the same work gives the same bits."""
    return {
        "seed": seed,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "python_hash_seed": os.environ.get("PYTHONHASHSEED"),
    }


def peak_memory() -> dict[str, int | None]:
    """Return the peaks so far: resident set, and PyTorch's on a GPU (else None).

    Linux counts the resident set in KiB. `gpu_used_bytes` is what the driver says is in use now, by
    all processes.
    """
    cuda = torch.cuda.is_available()
    free, total = torch.cuda.mem_get_info() if cuda else (0, 0)
    return {
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "gpu_allocated_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "gpu_reserved_bytes": torch.cuda.max_memory_reserved() if cuda else None,
        "gpu_used_bytes": total - free if cuda else None,
    }
