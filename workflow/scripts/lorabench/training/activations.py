"""Keep the layers' activations for the backward pass, or compute them again there.

Activation checkpointing costs a third more arithmetic, so it is used only where memory asks for
it. That is measured: one layer of the loaded model runs on the largest micro-batch, and autograd's
hooks count what the layer keeps.
"""

import os
from contextlib import ExitStack
from typing import Any

import torch
from peft import PeftModel
from torch.autograd.graph import saved_tensors_hooks

from lorabench.errors import PrerequisiteError
from lorabench.training.memory_use import is_out_of_memory, peak_resident_bytes

# share of the memory that may be planned for
USABLE = 0.92
# On a CPU, what the process then holds for each byte that autograd keeps: the C library's share.
CPU_ALLOCATOR = 1.2
# of a trained parameter, still to come: its gradient and Adam's two moments, float32
OPTIMISER_BYTES = 4 + 4 + 4


def recompute_activations(model: PeftModel) -> None:
    """Switch activation checkpointing on, from the next forward pass."""
    base: Any = model.get_base_model()
    base.activation_checkpointing_enable()


def must_recompute(model: PeftModel, inputs: dict[str, Any], trainable: int) -> bool:
    """Return whether the activations of a micro-batch do not fit into this machine's memory.

    Args:
        model: ready to train, with the loss forward of `install_label_loss`.
        inputs: of that forward, for the largest micro-batch.
        trainable: number of trained parameters.

    Raises:
        PrerequisiteError: on a CPU, they do not fit even if they are computed again. (A GPU reports
            a lack of memory itself, and the trainer then takes smaller micro-batches.)
    """
    try:
        layer = bytes_kept_by_a_layer(model, inputs)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return True
    base: Any = model.get_base_model()
    layers = len(base.get_decoder().layers)
    room = free_bytes() - trainable * OPTIMISER_BYTES
    if layers * layer <= room:
        return False
    if not torch.cuda.is_available() and layer > room:
        raise PrerequisiteError(
            f"training needs {layer / 1e9:.1f} GB more for the activations of one layer, and this"
            f" machine has about {max(0.0, room) / 1e9:.1f} GB left; in train_adapter, lower"
            " max_seq_length or lora_r, or set use_4bit: true"
        )
    return True


def free_bytes() -> float:
    """Return the memory that may still be planned for: of the GPU, else of the whole machine less
    what this process has held so far (not what is free now, so that a run decides alike each
    time)."""
    if torch.cuda.is_available():
        cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return USABLE * (torch.cuda.mem_get_info()[0] + cached)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return USABLE * total - peak_resident_bytes()


def bytes_kept_by_a_layer(model: PeftModel, inputs: dict[str, Any]) -> float:
    """Return the bytes that one layer of `model` holds until its backward pass.

    The model runs with its first layer only, on `inputs`. Weights that autograd refers to are not
    counted, tensors that share a storage are counted once; random numbers and the training mode are
    as before.
    """
    base: Any = model.get_base_model()
    decoder = base.get_decoder()
    layers, training = decoder.layers, model.training
    weights: set[int] = set()
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    counting = ExitStack()

    def begin(layer: torch.nn.Module, _: Any) -> None:
        # only now, since FSDP has just put the layer's weights together
        weights.update(weight.untyped_storage().data_ptr() for weight in layer.parameters())
        counting.enter_context(saved_tensors_hooks(count, lambda tensor: tensor))

    def end(*_: Any) -> None:
        counting.close()

    handles = [layers[0].register_forward_pre_hook(begin), layers[0].register_forward_hook(end)]
    decoder.layers = layers[:1]
    model.train()
    try:
        gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=gpus):
            model(**inputs)
    finally:
        counting.close()
        for handle in handles:
            handle.remove()
        decoder.layers = layers
        model.train(training)
    return sum(kept.values()) * (1.0 if torch.cuda.is_available() else CPU_ALLOCATOR)
