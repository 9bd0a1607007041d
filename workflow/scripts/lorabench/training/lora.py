"""Build the trainable model: a frozen base with float32 LoRA adapters."""

import logging
import math
import os
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from transformers import PreTrainedModel

from lorabench.llama import load_base, resolve_dtype
from lorabench.training.checks import check_targets
from lorabench.training.memory_plan import roomy
from lorabench.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def lora_config(settings: TrainingSettings, revision: str | None) -> LoraConfig:
    """Return the adapter's configuration; `revision` is the base's commit on the hub."""
    return LoraConfig(
        r=settings.lora_r,
        # peft declares whole numbers and divides by any
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=settings.lora_dropout,
        target_modules=sorted(settings.target_modules),
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        task_type="CAUSAL_LM",
        revision=revision,
    )


def choose_4bit(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    """Return the settings with `use_4bit: auto` decided for this machine's free memory.

    16-bit weights, which are faster and exact, where they leave room enough for training.
    """
    if settings.use_4bit != "auto":
        return settings
    weights = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names = file.keys()
            weights += 2 * sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    if torch.cuda.is_available():
        free = torch.cuda.mem_get_info()[0]
    else:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    chosen = not settings.fsdp and not roomy(weights, free)
    sizes = f"{weights / 1e9:.1f} GB of 16-bit weights, {free / 1e9:.1f} GB of memory"
    logger.info("use_4bit: auto is %s here: %s", chosen, sizes)
    return settings.model_copy(update={"use_4bit": chosen})


def load_frozen_base(folder: Path, settings: TrainingSettings) -> PreTrainedModel:
    """Load the base for training; with `fsdp` into main memory, to be divided later."""
    place = torch.device("cpu") if settings.fsdp else None
    model = load_base(folder, resolve_dtype(settings.dtype), settings.use_4bit is True, place)
    if settings.use_4bit is True:
        keep_training_layout(model)
    check_targets(model, settings.target_modules)
    model.config.use_cache = False
    return model.requires_grad_(False)


def keep_training_layout(model: PreTrainedModel) -> None:
    """Keep 4-bit weights in the layout that has gradients.

    On a CPU with AVX512-BF16, bitsandbytes (0.50) repacks the weights at the first forward pass in
    evaluation mode into a layout whose kernel has no gradient, and never back: later training steps
    would lose most of their gradient silently.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def make_adapters_float32(model: PeftModel) -> None:
    """Hold adapters and the optimiser's state in float32.

    In bfloat16 an Adam moment times 0.999 rounds back to itself and updates below about 3e-5
    vanish.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def keep_input_dtype(model: PeftModel) -> None:
    """Stop adapters from copying inputs to float32, which autocast would turn back."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            setattr(module, "cast_input_dtype_enabled", False)  # noqa: B010 (no declared attribute)
