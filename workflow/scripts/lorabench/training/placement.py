"""Decide from the memory model, for the device at hand, whether activations are kept or
recomputed."""

import torch
from torch import distributed

from lorabench.control.estimate import GPUS, Device, choose, suggest, this_cpu
from lorabench.description.flops import Shapes
from lorabench.description.utilisation import known_gpu
from lorabench.errors import PrerequisiteError
from lorabench.training.settings import TrainingSettings


def device_at_hand() -> Device:
    """Describe the GPU by its free memory, else this machine's CPU."""
    if not torch.cuda.is_available():
        return this_cpu()
    name = torch.cuda.get_device_name()
    known = known_gpu(name) or GPUS["A100-80"]
    return Device(
        name=name,
        memory_bytes=torch.cuda.mem_get_info()[0],
        bfloat16_flops=(
            known.bfloat16_flops if torch.cuda.is_bf16_supported(including_emulation=False) else 0
        ),
        float32_flops=known.float32_flops,
    )


def recompute_activations(settings: TrainingSettings, shapes: Shapes) -> bool:
    """Return whether activation checkpointing is needed here: it costs a third more arithmetic, so
    only where it is.

    Raises:
        PrerequisiteError: training cannot fit even so.
    """
    device = device_at_hand()
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    fits, checkpointing, terms = choose(settings, shapes, device, processes)
    if not fits:
        raise PrerequisiteError(
            f"training needs about {sum(terms.values()) / 1e9:.1f} GB, {device.name} has "
            f"{device.memory_bytes / 1e9:.1f} GB; "
            f"in train_adapter, set {' or '.join(suggest(settings, shapes, device))}"
        )
    return checkpointing
