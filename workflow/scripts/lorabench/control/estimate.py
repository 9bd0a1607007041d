"""Predict, without torch, what training will need: memory, operations, time and disk, here or on a
named GPU."""

import os
from dataclasses import dataclass
from typing import Any

from lorabench.control.memory_model import predict_memory
from lorabench.description.flops import Shapes, shapes_of, training_flops
from lorabench.errors import ConfigurationError
from lorabench.processor import cores, fast_bfloat16
from lorabench.training.settings import TrainingSettings, parse_settings


@dataclass(frozen=True, kw_only=True)
class Device:
    """Something to train on."""

    name: str
    memory_bytes: float
    # dense peak a second; 0 = no such arithmetic
    bfloat16_flops: float
    float32_flops: float
    gpu: bool = True


# Peaks of dense matrix products without sparsity, float32 accumulation, from NVIDIA's data sheets.
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
# Share of the peak that a training step reaches: published single-GPU runs lie between 0.35 and
# 0.57. A CPU's share and a core's peak were measured with the demo and large matrix products:
# bfloat16 on an EPYC, float32 on a Xeon.
GPU_UTILISATION = 0.4
CPU_UTILISATION = {"bfloat16": 0.22, "float32": 0.5}
CORE_BFLOAT16_FLOPS, CORE_FLOAT32_FLOPS = 425e9, 153e9
# share of the memory that may be planned for
USABLE = 0.92
# oasst1, one top-ranked conversation a tree, Llama 3's tokenizer: used where the data have not been
# prepared yet.
OASST1 = {"train_conversations": 9846, "train_tokens": 9846 * 550}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A prediction for one configuration on one device."""

    device: str
    # of the device
    memory_bytes: float
    peak_memory_bytes: float
    memory_terms: dict[str, float]
    fits: bool
    activation_checkpointing: bool
    tokens_per_step: float
    flops: float
    seconds: float
    # adapter, two checkpoints, merged model
    disk_bytes: float
    # settings that would fit, when this one does not
    suggestions: list[str]

    def lines(self) -> list[str]:
        """Return the estimate as lines of text."""
        verdict = "fits" if self.fits else "does not fit"
        return [
            (
                f"training on {self.device}: peak memory {self.peak_memory_bytes / 1e9:.1f} of "
                f"{self.memory_bytes / 1e9:.1f} GB ({verdict}), "
                f"activation checkpointing {'on' if self.activation_checkpointing else 'off'}"
            ),
            (
                f"  {self.flops:.2e} floating-point operations, about {duration(self.seconds)}, "
                f"{self.disk_bytes / 1e9:.1f} GB of disk"
            ),
            *(f"  suggestion: {suggestion}" for suggestion in self.suggestions),
        ]


def duration(seconds: float) -> str:
    """Return a time span in words, with the unit that suits it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def this_cpu() -> Device:
    """Describe this machine's CPU; bfloat16 counts where it is fast."""
    return Device(
        name=f"this CPU ({cores()} cores)",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bfloat16_flops=cores() * CORE_BFLOAT16_FLOPS if fast_bfloat16() else 0,
        float32_flops=cores() * CORE_FLOAT32_FLOPS,
        gpu=False,
    )


def named_device(name: str | None) -> Device:
    """Return a GPU of the table, or this machine's CPU for None.

    Raises:
        ConfigurationError: no GPU of that name is known.
    """
    if name is None:
        return this_cpu()
    if name not in GPUS:
        raise ConfigurationError(f"GPU {name!r} is not known; expected one of {', '.join(GPUS)}")
    return GPUS[name]


def estimate(
    settings: dict[str, Any],
    model_config: dict[str, Any],
    data_summary: dict[str, Any] | None,
    device: str | Device | None,
) -> Estimate:
    """Predict the training of `settings` on a device.

    Args:
        settings: the config section `train_adapter`.
        model_config: the base model's config.json.
        data_summary: with train_conversations and train_tokens (`data` of train_metrics.json); None
            = oasst1.
        device: a name of `GPUS`, a description, or None for this machine's CPU.

    Raises:
        ConfigurationError: a setting or the device is unknown.
    """
    options, shapes = parse_settings(settings), shapes_of(model_config)
    place = device if isinstance(device, Device) else named_device(device)
    data = data_summary or OASST1
    fits, checkpointing, terms = choose(options, shapes, place)
    mean = data["train_tokens"] / data["train_conversations"]
    tokens = round(options.num_epochs * data["train_tokens"])
    adapter = shapes.adapter_parameters(options.lora_r, options.target_modules)
    flops = training_flops(
        shapes, adapter, tokens, round(0.75 * tokens), round(tokens * mean * 2), checkpointing
    )
    in_bfloat16 = uses_bfloat16(options, place)
    speed = place.bfloat16_flops if in_bfloat16 else place.float32_flops
    share = (
        GPU_UTILISATION if place.gpu else CPU_UTILISATION["bfloat16" if in_bfloat16 else "float32"]
    )
    suggestions = [] if fits else suggest(options, shapes, place)
    merged = (shapes.layer_parameters + shapes.head_parameters * (1 if shapes.tied else 2)) * 2
    return Estimate(
        device=place.name,
        memory_bytes=place.memory_bytes,
        peak_memory_bytes=sum(terms.values()),
        memory_terms=terms,
        fits=fits,
        activation_checkpointing=checkpointing,
        tokens_per_step=options.conversations_per_step * mean,
        flops=flops,
        seconds=flops / (speed * share),
        disk_bytes=adapter * 4 * (1 + 2 * 3) + merged,
        suggestions=suggestions,
    )


def uses_bfloat16(settings: TrainingSettings, device: Device) -> bool:
    """Tell in which precision the layers will multiply on `device`."""
    return settings.dtype == "bfloat16" or (settings.dtype == "auto" and device.bfloat16_flops > 0)


def choose(
    settings: TrainingSettings, shapes: Shapes, device: Device, processes: int = 1
) -> tuple[bool, bool, dict[str, float]]:
    """Return (fits, activation checkpointing, memory terms of a process); checkpointing only where
    memory needs it."""
    rows = 1 if settings.packing else settings.batch_size
    for checkpointing in (False, True):
        model = predict_memory(
            shapes,
            settings,
            number_bytes=2 if uses_bfloat16(settings, device) else 4,
            tokens=rows * settings.max_seq_length,
            checkpointing=checkpointing,
            gpu=device.gpu,
            processes=processes,
        )
        if model.peak <= USABLE * device.memory_bytes:
            break
    return model.peak <= USABLE * device.memory_bytes, checkpointing, dict(vars(model))


def suggest(settings: TrainingSettings, shapes: Shapes, device: Device) -> list[str]:
    """Return the smallest changes, each by itself or together, with which training would fit."""
    changes: list[tuple[str, dict[str, Any]]] = [
        ("packing: true", {"packing": True}),
        (
            "batch_size: 1",
            {"batch_size": 1, "gradient_accumulation": settings.conversations_per_step},
        ),
        ("use_4bit: true", {"use_4bit": True}),
        ("max_seq_length: 1024", {"max_seq_length": min(1024, settings.max_seq_length)}),
        (
            "use_4bit: true, max_seq_length: 512",
            {"use_4bit": True, "max_seq_length": min(512, settings.max_seq_length)},
        ),
    ]
    fitting = [
        text
        for text, change in changes
        if choose(settings.model_copy(update=change), shapes, device)[0]
    ]
    return fitting[:2] or [
        f"a device with more than {device.memory_bytes / 1e9:.0f} GB, or a smaller base model"
    ]
