"""Attention for packed rows that computes each conversation by itself.

A packed row under plain scaled-dot-product attention needs a mask and computes all length x length
pairs. On a GPU, `varlen` gives all conversations of a pass to one kernel, FlashAttention as PyTorch
brings it, with the boundaries between them. On a CPU, `document_sdpa` computes one conversation
after the other with `BlockAttention`.
"""

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from lorabench.training.block_attention import BlockAttention

DOCUMENT_SDPA = "document_sdpa"
VARLEN = "varlen"
# transformers' own, which reads the boundaries from position_ids and masks all other pairs
MASKED = "sdpa"


def varlen(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    boundaries: torch.Tensor,
    longest: int,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document, all documents in one kernel.

    Args:
        query: (rows, heads, length, head size); key and value have the model's key-value heads.
        attention_mask: unused. What is padding is another document or at the right end,
            where causality hides it.
        boundaries: (documents + 1,) int32: where each document begins in the flattened rows, then
            the end of the last.
        longest: no document has more tokens. A bound that does not change: another value would
            start the compiler again.

    Returns:
        (rows, length, heads, head size) and None, as transformers' attention interface expects.
    """
    rows, heads, length, size = query.shape
    flat_query, flat_key, flat_value = (
        part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)
    )
    output = varlen_attn(
        flat_query,
        flat_key,
        flat_value,
        boundaries,
        boundaries,
        longest,
        longest,
        scale=scaling,
        # causal
        window_size=(-1, 0),
        enable_gqa=heads != key.shape[1],
    )
    assert isinstance(output, torch.Tensor)
    return output.view(rows, length, heads, size), None


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
    """Causal attention within each document of a packed row, one document after the other.

    Shapes as for `varlen`. `document_lengths` are the tokens of the documents that follow each
    other in a row; None = each row is one document.
    """
    by_blocks = query.device.type == "cpu" and dropout == 0.0 and torch.is_grad_enabled()
    scale = scaling or query.shape[-1] ** -0.5
    grouped = query.shape[1] != key.shape[1]

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if by_blocks:
            rows = zip(q, k, v, strict=True)
            return torch.stack([BlockAttention.apply(*row, scale) for row in rows])
        return scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, scale=scaling, is_causal=True, enable_gqa=grouped
        )

    lengths = document_lengths or [query.shape[2]]
    parts = zip(*(part.split(lengths, 2) for part in (query, key, value)), strict=True)
    return torch.cat([attend(*part) for part in parts], 2).transpose(1, 2).contiguous(), None


def choose_attention(device: torch.device, dtype: torch.dtype, compiled: bool) -> str:
    """Return the fastest exact attention for packed rows.

    With compiled layers, lists of lengths would start the compiler again for every row.
    """
    if has_varlen(device, dtype):
        return VARLEN
    return MASKED if compiled else DOCUMENT_SDPA


def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether FlashAttention, which knows no float32, runs on this device."""
    on_gpu = device.type == "cuda" and dtype == torch.bfloat16
    return on_gpu and torch.cuda.get_device_capability(device) >= (8, 0)


def use_attention(model: PreTrainedModel, name: str) -> None:
    """Make `model` compute attention by `name`: one of the above, or known to transformers."""
    AttentionInterface.register(DOCUMENT_SDPA, document_sdpa)
    AttentionInterface.register(VARLEN, varlen)
    model.set_attn_implementation(name)
