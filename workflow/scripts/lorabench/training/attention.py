"""Attention for packed rows that computes each conversation by itself, so that no pair of tokens is
computed in vain.

A packed row under plain scaled-dot-product attention needs a mask and computes all length x length
pairs. FlashAttention 2 takes the boundaries instead; where it is not installed, `document_sdpa`
computes one conversation after the other: on a GPU with PyTorch's causal kernel, on a CPU with
`BlockAttention`.
"""

import importlib.util
import logging

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from lorabench.training.block_attention import BlockAttention
from lorabench.training.micro_batches import MicroBatch

logger = logging.getLogger(__name__)

DOCUMENT_SDPA = "document_sdpa"
FLASH = "flash_attention_2"


def document_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    document_lengths: list[int] | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document of a packed row.

    Args:
        query: (rows, heads, length, head size); key and value have the model's key-value heads.
        attention_mask: unused. Padding is at the right end, where causality already hides it.
        document_lengths: tokens of the documents that lie end to end; None = each row is one
            document.

    Returns:
        (rows, length, heads, head size) and None, as transformers' attention interface expects.
    """
    if query.device.type == "cpu" and dropout == 0.0 and torch.is_grad_enabled():
        return (
            _by_blocks(query, key, value, scaling or query.shape[-1] ** -0.5, document_lengths),
            None,
        )
    grouped = query.shape[1] != key.shape[1]
    lengths = document_lengths or [query.shape[2]]
    parts = zip(
        query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True
    )
    outputs = [
        scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, scale=scaling, is_causal=True, enable_gqa=grouped
        )
        for q, k, v in parts
    ]
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


def _by_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    document_lengths: list[int] | None,
) -> torch.Tensor:
    rows, _, length, _ = query.shape
    lengths = document_lengths or [length]
    outputs = []
    for row in range(rows):
        parts = zip(
            query[row].split(lengths, 1),
            key[row].split(lengths, 1),
            value[row].split(lengths, 1),
            strict=True,
        )
        outputs.append(torch.cat([BlockAttention.apply(q, k, v, scaling) for q, k, v in parts], 1))
    return torch.stack(outputs).transpose(1, 2).contiguous()


def choose_attention(device: torch.device) -> str:
    """Return the fastest exact attention that this machine has for packed rows, and say how to get
    a faster one."""
    if device.type != "cuda":
        return DOCUMENT_SDPA
    if importlib.util.find_spec("flash_attn") is not None and torch.cuda.get_device_capability(
        device
    ) >= (8, 0):
        return FLASH
    logger.warning(
        "FlashAttention 2 is not installed: packed rows use PyTorch's own attention, one call a"
        " conversation. For a faster step: pip install flash-attn --no-build-isolation (GPU of"
        " compute capability 8.0 or newer)"
    )
    return DOCUMENT_SDPA


def use_attention(model: PreTrainedModel, name: str) -> None:
    """Make `model` compute attention by `name`, one of DOCUMENT_SDPA, FLASH or a name that
    transformers knows."""
    AttentionInterface.register(DOCUMENT_SDPA, document_sdpa)
    model.set_attn_implementation(name)


def boundaries(name: str, batch: MicroBatch, device: torch.device) -> dict[str, object]:
    """Return the keyword arguments by which the attention `name` learns where the documents of a
    packed row begin."""
    if batch.document_lengths is None:
        return {}
    if name == DOCUMENT_SDPA:
        return {"document_lengths": batch.document_lengths}
    if name == FLASH:
        ends = (
            torch.tensor([0, *batch.document_lengths])
            .cumsum(0)
            .to(device=device, dtype=torch.int32)
        )
        longest = max(batch.document_lengths)
        return {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }
    # sdpa and eager read the boundaries from position_ids
    return {}
