"""What this machine's processor is and can do. Needs no torch."""

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """Return the name that Linux reports, else Python's."""
    return _first("model name") or platform.processor()


def fast_bfloat16() -> bool:
    """Return whether bfloat16 products are faster than float32 ones.

    They are with AMX, and with AVX512-BF16 on AMD. An Intel processor with AVX512-BF16 only, as
    virtual machines show that hide AMX, trains at half of float32's speed. The name decides, not a
    timing, so that all jobs of a run decide alike.
    """
    flags = _first("flags").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and _first("vendor_id") == "AuthenticAMD")


def _first(key: str) -> str:
    """Return the first processor's value of a key; empty where the system does not say."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")
