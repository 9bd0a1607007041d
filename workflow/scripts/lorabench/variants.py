"""Load a variant for inference: base, base with the unmerged adapter, or merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorabench.adapter_loading import attach_adapter
from lorabench.errors import DataError
from lorabench.llama import load_base, resolve_dtype

# importing peft takes 2 s, and base and merged do without it
if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def load_variant(
    variant: str,
    *,
    base: Path | PreTrainedModel,
    adapter: Path | None,
    merged: Path | None,
    dtype: str,
    use_4bit: bool = False,
) -> PreTrainedModel | PeftModel:
    """Load one variant for inference.

    Args:
        variant: "base", "lora" (the adapter stays unmerged) or "merged".
        base, adapter, merged: checkpoint and adapter folders; each is needed by its own variant
            only. A base that is loaded already replaces its folder.
        dtype: the config's word, see `resolve_dtype`.
        use_4bit: load the base weights in NF4.

    Returns:
        The model in eval mode on `device()`. All floating parameters have requires_grad alike,
        because a CPU's bfloat16 prefill is a third slower with frozen weights and variants would
        otherwise differ in speed.
    """
    folder = merged if variant == "merged" else base
    if folder is None or (variant == "lora" and adapter is None):
        raise DataError(
            f"variant {variant!r} needs its {'merged' if variant == 'merged' else 'adapter'} folder"
        )
    checkpoint = (
        load_base(folder, resolve_dtype(dtype), use_4bit) if isinstance(folder, Path) else folder
    )
    model: PreTrainedModel | PeftModel = checkpoint
    if variant == "lora" and adapter is not None:
        model = attach_adapter(checkpoint, adapter)
        if not use_4bit:
            model.to(resolve_dtype(dtype))  # type: ignore[arg-type]
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    return model.eval()
