"""Predict, without torch, what training needs: memory, operations, time and disk."""

import os
from dataclasses import dataclass
from typing import Any

from lorabench.control.memory_model import MemoryModel, layer_costs, predict_memory
from lorabench.control.speed_model import share_of_peak
from lorabench.description.flops import Shapes, shapes_of, training_flops
from lorabench.description.gpus import Device
from lorabench.processor import cores, fast_bfloat16
from lorabench.training.memory_plan import USABLE, plan_memory, roomy
from lorabench.training.settings import TrainingSettings, parse_settings

# of a CPU core, measured with large matrix products: bfloat16 on an EPYC, float32 on a Xeon
CORE_BFLOAT16_FLOPS, CORE_FLOAT32_FLOPS = 425e9, 153e9
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
    choice: "Choice"
    flops: float
    seconds: float
    # where the speed is from
    speed_source: str
    # adapter, two checkpoints, merged model
    disk_bytes: float
    # settings that would fit, when this one does not
    suggestions: list[str]

    def lines(self) -> list[str]:
        """Return the estimate as lines of text."""
        choice = self.choice
        return [
            f"training on {self.device}: peak memory {self.peak_memory_bytes / 1e9:.1f} of "
            f"{self.memory_bytes / 1e9:.1f} GB "
            f"({'fits' if choice.fits else 'does not fit'}), {choice.words()}",
            f"  {self.flops:.2e} floating-point operations, about {duration(self.seconds)} "
            f"(share of the peak {self.speed_source}), {self.disk_bytes / 1e9:.1f} GB of disk",
            *(f"  suggestion: {suggestion}" for suggestion in self.suggestions),
        ]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a training's "auto" settings come to on a device."""

    fits: bool
    use_4bit: bool
    # bfloat16 or float32
    arithmetic: str
    compiled: bool
    # positions of the largest forward pass
    row_tokens: int
    # of `layers`, those that compute their activations again
    recomputed_layers: int
    layers: int
    # of a process
    memory: MemoryModel

    def words(self) -> str:
        """Return the choice as part of a sentence."""
        again = f"{self.recomputed_layers} of {self.layers} layers recomputed"
        return (
            f"{'NF4' if self.use_4bit else self.arithmetic}, rows of {self.row_tokens} tokens, "
            f"{again if self.recomputed_layers else 'all activations kept'}, "
            f"layers {'compiled' if self.compiled else 'not compiled'}"
        )


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


def estimate(
    settings: dict[str, Any],
    model_config: dict[str, Any],
    data_summary: dict[str, Any] | None,
    device: Device,
) -> Estimate:
    """Predict the training of `settings` on a device.

    Args:
        data_summary: with train_conversations and train_tokens (`data` of train_metrics.json); None
            = oasst1.
    """
    options, shapes = parse_settings(settings), shapes_of(model_config)
    data = data_summary or OASST1
    choice = choose(options, shapes, device)
    mean = data["train_tokens"] / data["train_conversations"]
    tokens = round(options.num_epochs * data["train_tokens"])
    adapter = shapes.adapter_parameters(options.lora_r, options.target_modules)
    flops = training_flops(
        shapes,
        adapter,
        tokens,
        round(0.75 * tokens),
        round(tokens * mean * 2),
        choice.recomputed_layers / shapes.layers,
    )
    in_bfloat16 = uses_bfloat16(options, device)
    speed = device.bfloat16_flops if in_bfloat16 else device.float32_flops
    share = share_of_peak(
        gpu=device.gpu,
        bfloat16=in_bfloat16,
        use_4bit=choice.use_4bit,
        compiled=choice.compiled,
        row_tokens=choice.row_tokens,
    )
    merged = (shapes.layer_parameters + shapes.head_parameters * (1 if shapes.tied else 2)) * 2
    return Estimate(
        device=device.name,
        memory_bytes=device.memory_bytes,
        peak_memory_bytes=choice.memory.peak,
        choice=choice,
        flops=flops,
        seconds=flops / (speed * share.share),
        speed_source=share.source,
        disk_bytes=adapter * 4 * (1 + 2 * 3) + merged,
        suggestions=[] if choice.fits else suggest(options, shapes, device),
    )


def uses_bfloat16(settings: TrainingSettings, device: Device) -> bool:
    """Return in which precision the layers will multiply on `device`."""
    return settings.dtype == "bfloat16" or (settings.dtype == "auto" and device.bfloat16_flops > 0)


def choose(
    settings: TrainingSettings, shapes: Shapes, device: Device, processes: int = 1
) -> Choice:
    """Return what the settings come to on `device`, by the rules that training itself follows."""
    weights = 2 * (shapes.layer_parameters + shapes.head_parameters * (1 if shapes.tied else 2))
    use_4bit = settings.use_4bit is True or (
        settings.use_4bit == "auto"
        and not settings.fsdp
        and not roomy(weights, device.memory_bytes)
    )
    settings = settings.model_copy(update={"use_4bit": use_4bit})
    in_bfloat16 = uses_bfloat16(settings, device)
    number_bytes = 2 if in_bfloat16 else 4
    flash = device.gpu and in_bfloat16
    # the rules of `lorabench.training.compilation`, for a machine with a compiler
    automatic = flash and not settings.use_dora and not settings.fsdp
    compiled = automatic if settings.compile == "auto" else settings.compile is True
    shortest, longest = _row_bounds(settings, flash)

    def predict(tokens: int, recomputed: int) -> MemoryModel:
        return predict_memory(
            shapes,
            settings,
            number_bytes=number_bytes,
            tokens=tokens,
            recomputed=recomputed,
            gpu=device.gpu,
            compiled=compiled,
            processes=processes,
        )

    usable = USABLE * device.memory_bytes
    found = predict(shortest, 0)
    row_tokens, recomputed_layers = plan_memory(
        layer_costs(shapes, settings, number_bytes, gpu=device.gpu, compiled=compiled),
        usable - (found.peak - found.activations),
        memory=settings.memory,
        shortest=shortest,
        longest=longest,
    )
    model = predict(row_tokens, recomputed_layers)
    return Choice(
        fits=model.peak <= usable,
        use_4bit=use_4bit,
        arithmetic="bfloat16" if in_bfloat16 else "float32",
        compiled=compiled,
        row_tokens=row_tokens,
        recomputed_layers=recomputed_layers,
        layers=shapes.layers,
        memory=model,
    )


def _row_bounds(settings: TrainingSettings, flash: bool) -> tuple[int, int]:
    """Return the shortest and longest rows to choose from.

    Long ones pay with FlashAttention only, and no step has more tokens than its conversations may
    have.
    """
    longest = settings.max_seq_length
    if not settings.packing:
        padded = settings.batch_size * longest
        return padded, padded
    if settings.row_tokens != "auto":
        tokens = max(int(settings.row_tokens), longest)
        return tokens, tokens
    step = settings.batch_size * settings.gradient_accumulation * longest
    return longest, step if flash else longest


def suggest(settings: TrainingSettings, shapes: Shapes, device: Device) -> list[str]:
    """Return the smallest changes, each by itself or together, with which training would fit."""
    step = settings.batch_size * settings.gradient_accumulation
    short = {"max_seq_length": min(1024, settings.max_seq_length)}
    changes: dict[str, dict[str, Any]] = {
        "packing: true": {"packing": True},
        "batch_size: 1": {"batch_size": 1, "gradient_accumulation": step},
        "use_4bit: true": {"use_4bit": True},
        "max_seq_length: 1024": short,
        "use_4bit: true, max_seq_length: 512": {
            "use_4bit": True,
            "max_seq_length": min(512, settings.max_seq_length),
        },
    }
    fitting = [
        text
        for text, change in changes.items()
        if choose(settings.model_copy(update=change), shapes, device).fits
    ]
    return fitting[:2] or [
        f"a device with more than {device.memory_bytes / 1e9:.0f} GB, or a smaller base model"
    ]
