"""Keep the layers' activations for the backward pass, or compute them again there.

What a layer keeps is measured: one layer of the loaded model runs on one row, and autograd's hooks
count.
"""

import os
from typing import Any

import torch
from peft import PeftModel
from torch.autograd.graph import saved_tensors_hooks

from lorabench.training.memory_plan import USABLE, LayerCosts
from lorabench.training.memory_use import peak_resident_bytes
from lorabench.training.micro_batches import MicroBatch

# On a CPU, what the process then holds for each byte that autograd keeps: the C library's share.
CPU_ALLOCATOR = 1.2
# of a trained parameter, still to come: its gradient and Adam's two moments, float32
OPTIMISER_BYTES = 4 + 4 + 4


def decoder_layers(model: PeftModel) -> Any:
    """Return the list of the base's decoder layers."""
    base: Any = model.get_base_model()
    return base.get_decoder().layers


def recompute_activations(model: PeftModel, layers: int | None = None) -> None:
    """Compute the activations of the first `layers`, or of all, again in the backward pass.

    The first ones: their backward pass comes last, when the others have given their memory back.
    """
    base: Any = model.get_base_model()
    base.activation_checkpointing_enable()
    for number, layer in enumerate(decoder_layers(model)):
        layer.gradient_checkpointing = layers is None or number < layers


def recomputed_layers(model: PeftModel) -> int:
    """Return how many layers compute their activations again."""
    return sum(layer.gradient_checkpointing for layer in decoder_layers(model))


def layer_costs(
    model: PeftModel, batch: MicroBatch, attention: str, device: torch.device
) -> LayerCosts:
    """Measure on a micro-batch, as large as the shortest rows, what a layer keeps."""
    tokens = batch.input_ids.numel()
    base: Any = model.get_base_model()
    return LayerCosts(
        layers=len(decoder_layers(model)),
        bytes_a_token=bytes_kept_by_a_layer(model, batch.model_inputs(attention, device)) / tokens,
        input_bytes_a_token=base.config.hidden_size * base.get_input_embeddings().weight.itemsize,
    )


def room_for_activations(trainable: int) -> float:
    """Return the bytes that may still be planned for, besides the optimiser's.

    Of the GPU, else of the whole machine less what this process has held so far: not what is free
    now, so that a run decides alike each time.
    """
    if torch.cuda.is_available():
        cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        free = USABLE * (torch.cuda.mem_get_info()[0] + cached)
    else:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        free = USABLE * total - peak_resident_bytes()
    return free - trainable * OPTIMISER_BYTES


def bytes_kept_by_a_layer(model: PeftModel, inputs: dict[str, Any]) -> float:
    """Return the bytes that one layer of `model` holds until its backward pass.

    The model runs with its first two layers, on `inputs`, and the second is counted: the first gets
    an input that needs no gradient. Weights that autograd refers to are not counted, tensors that
    share a storage are counted once; random numbers and the training mode are as before.
    """
    base: Any = model.get_base_model()
    decoder = base.get_decoder()
    layers, training = decoder.layers, model.training
    counted = layers[:2][-1]
    weights: set[int] = set()
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    forward = counted.forward

    def counted_forward(*args: Any, **kwargs: Any) -> Any:
        # only now, since FSDP has just put the layer's weights together
        weights.update(weight.untyped_storage().data_ptr() for weight in counted.parameters())
        with saved_tensors_hooks(count, lambda tensor: tensor):
            return forward(*args, **kwargs)

    decoder.layers, counted.forward = layers[:2], counted_forward
    model.train()
    try:
        gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=gpus):
            model(**inputs)
    finally:
        decoder.layers, counted.forward = layers, forward
        model.train(training)
    return sum(kept.values()) * (1.0 if torch.cuda.is_available() else CPU_ALLOCATOR)
