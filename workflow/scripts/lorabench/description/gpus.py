"""What GPUs can do, from NVIDIA's data sheets."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Device:
    """Something to train on."""

    name: str
    memory_bytes: float
    # dense peak a second; 0 = no such arithmetic
    bfloat16_flops: float
    float32_flops: float
    gpu: bool = True


# name -> memory, peaks of dense matrix products without sparsity, float32 accumulation: in
# bfloat16, in float32
TABLE = {
    "T4": (16e9, 0, 8.1e12),
    "L4": (24e9, 121e12, 30.3e12),
    "A10G": (24e9, 70e12, 31.2e12),
    "RTX4090": (24e9, 165e12, 82.6e12),
    "L40S": (48e9, 362e12, 91.6e12),
    "A100-40": (40e9, 312e12, 19.5e12),
    "A100-80": (80e9, 312e12, 19.5e12),
    "H100PCIe": (80e9, 756e12, 51e12),
    "H100": (80e9, 989e12, 67e12),
    "H200": (141e9, 989e12, 67e12),
}
GPUS = {
    name: Device(name=name, memory_bytes=memory, bfloat16_flops=bfloat16, float32_flops=float32)
    for name, (memory, bfloat16, float32) in TABLE.items()
}


def known_gpu(name: str) -> Device | None:
    """Return the row of the table for a GPU as CUDA names it; None where the table has none.

    H100 and H200 of the table are the SXM modules; their NVL cards are slower and are in no row.
    """
    if "NVL" in name:
        return None
    joined = name.replace("RTX ", "RTX").replace("H100 PCIe", "H100PCIe")
    for key, device in GPUS.items():
        if re.search(rf"(?<![A-Za-z0-9]){key.partition('-')[0]}(?![A-Za-z0-9])", joined):
            return device
    return None
