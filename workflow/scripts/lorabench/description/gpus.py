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


# Peaks of dense matrix products without sparsity, float32 accumulation.
GPUS = {
    "T4": Device(name="T4", memory_bytes=16e9, bfloat16_flops=0, float32_flops=8.1e12),
    "L4": Device(name="L4", memory_bytes=24e9, bfloat16_flops=121e12, float32_flops=30.3e12),
    "A10G": Device(name="A10G", memory_bytes=24e9, bfloat16_flops=70e12, float32_flops=31.2e12),
    "RTX4090": Device(
        name="RTX4090", memory_bytes=24e9, bfloat16_flops=165e12, float32_flops=82.6e12
    ),
    "L40S": Device(name="L40S", memory_bytes=48e9, bfloat16_flops=362e12, float32_flops=91.6e12),
    "A100-40": Device(
        name="A100-40", memory_bytes=40e9, bfloat16_flops=312e12, float32_flops=19.5e12
    ),
    "A100-80": Device(
        name="A100-80", memory_bytes=80e9, bfloat16_flops=312e12, float32_flops=19.5e12
    ),
    "H100PCIe": Device(
        name="H100PCIe", memory_bytes=80e9, bfloat16_flops=756e12, float32_flops=51e12
    ),
    "H100": Device(name="H100", memory_bytes=80e9, bfloat16_flops=989e12, float32_flops=67e12),
    "H200": Device(name="H200", memory_bytes=141e9, bfloat16_flops=989e12, float32_flops=67e12),
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
