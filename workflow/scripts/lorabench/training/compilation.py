"""Compile the decoder layers: a GPU gets few large kernels instead of many small ones.

Eager layers are launched kernel by kernel from Python: with Llama 3 8B, that takes several times as
long as the kernels themselves. All layers share one compiled function, for any length of row.
"""

import importlib.util
import logging
import os
import shutil
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from lorabench.training.activations import decoder_layers
from lorabench.training.attention import has_varlen
from lorabench.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

BACKEND = "inductor"


def why_not_compiled(
    settings: TrainingSettings, device: torch.device, dtype: torch.dtype
) -> str | None:
    """Return why the layers are not compiled, or None where they are.

    With `compile: auto`, they are where that was seen to pay and nothing is missing.
    """
    if settings.compile is False:
        return "compile is false"
    if settings.compile is True:
        return None
    if device.type != "cuda":
        return "no GPU: on a CPU the compiler takes longer than it saves"
    if not has_varlen(device, dtype):
        return "it pays with FlashAttention only: bfloat16, compute capability 8.0 or newer"
    if settings.use_dora:
        return "DoRA leaves the compiled graph many times in each layer"
    return what_is_missing()


def what_is_missing() -> str | None:
    """Return what a GPU's compiler needs and this machine lacks, or None."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if not any(shutil.which(name) for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name):
        return "there is no C compiler (install gcc, or set CC)"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "Python's headers are missing (install python3-dev)"
    return None


def compile_layers(model: PeftModel, cache: Path, tolerant: bool) -> None:
    """Make the decoder layers of `model` run compiled, from the next pass on.

    Activation checkpointing and FSDP's hooks stay outside of the compiled function.

    Args:
        cache: folder for compiled kernels; a resumed run finds them there.
        tolerant: what the compiler cannot do runs uncompiled, with a warning, instead of failing.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache.resolve())
    # layers are small enough to be one graph each, whatever DDP's buckets are
    torch._dynamo.config.optimize_ddp = False
    torch._dynamo.config.suppress_errors = tolerant
    torch._dynamo.utils.counters.clear()
    layers = decoder_layers(model)
    # numbers of a layer that FSDP has divided would be symbols: no graph in 15 minutes
    divided = getattr(layers[0], "_is_fsdp_managed_module", False)
    torch._dynamo.config.specialize_int = torch._dynamo.config.specialize_float = divided
    # without transformers' wrapper for activation checkpointing
    plain = type(layers[0]).forward
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    compiled = torch.compile(plain, dynamic=True, backend=BACKEND)
    for layer in layers:
        layer.forward = partial(_layer_forward, layer, compiled)


def _layer_forward(layer: Any, compiled: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a compiled layer, with activation checkpointing where it is on."""
    if layer.gradient_checkpointing and layer.training:
        return layer._gradient_checkpointing_func(partial(compiled, layer, **kwargs), *args)
    return compiled(layer, *args, **kwargs)
