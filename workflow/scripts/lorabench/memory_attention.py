"""Let a model's layers attend through an object that the caller gives to its forward pass.

This uses transformers' attention interface, so that every architecture that has it can be run so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

NAME = "lorabench_memory"


class Memory(Protocol):
    """What a forward pass remembers and attends to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Return the attention output, shaped like `query`: (batch, heads, length, head size)."""
        ...


def _forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    memory: Memory,
    **_: object,
) -> tuple[Tensor, None]:
    layer: Any = module.layer_idx
    output = memory.attend(layer, query, key, value, scaling)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _forward)


@contextmanager
def memory_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model's layers attend through the `memory` argument while the block runs."""
    usual = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = usual
