"""What a result was made with: packages, machine, source code state."""

import importlib.metadata
import os
import platform
import sys
from datetime import UTC, datetime
from typing import Any

import torch

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
