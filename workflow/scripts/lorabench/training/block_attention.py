"""Causal attention for training on a CPU, as a few batched matrix products.

PyTorch's fused CPU kernel walks over small tiles; at the lengths of conversations, plain matrix
products over blocks of queries are two to three times faster forward and backward, and skip the
keys that causality hides. The probabilities are kept for the backward pass: heads x length^2 / 2
numbers a layer, which bounds the length for which this is sensible.
"""

from typing import Any

import torch

# queries
BLOCK = 128


class BlockAttention(torch.autograd.Function):
    """softmax(q k^T x scaling) v with a causal mask, for one document."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Return (heads, length, size); key and value have the key-value heads."""
        heads, length, size = query.shape
        groups = key.shape[0]
        scaled = (query * scaling).reshape(groups, heads // groups, length, size)
        output = torch.empty_like(scaled)
        blocks = []
        for start, end in _blocks(length):
            shape = (groups, heads // groups, end - start)
            scores = torch.bmm(
                scaled[:, :, start:end].reshape(groups, -1, size), key[:, :end].transpose(1, 2)
            )
            future = torch.ones(end - start, end - start, dtype=torch.bool).triu(1)
            scores.view(*shape, end)[..., start:].masked_fill_(future, float("-inf"))
            # (groups, heads of the group x block, end)
            probabilities = scores.softmax(-1)
            output[:, :, start:end] = torch.bmm(probabilities, value[:, :end]).view(*shape, size)
            blocks.append(probabilities)
        ctx.save_for_backward(scaled, key, value, *blocks)
        ctx.scaling = scaling
        return output.view(heads, length, size)

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:  # type: ignore[override]
        """Return the gradients of query, key and value; the last two are summed in float32."""
        scaled, key, value, *blocks = ctx.saved_tensors
        groups, share, length, size = scaled.shape
        gradient = gradient.reshape(groups, share, length, size)
        to_query = torch.empty_like(scaled)
        to_key, to_value = torch.zeros(key.shape), torch.zeros(value.shape)
        for probabilities, (start, end) in zip(blocks, _blocks(length), strict=True):
            part = gradient[:, :, start:end].reshape(groups, -1, size)
            to_value[:, :end] += torch.bmm(probabilities.transpose(1, 2), part)
            to_scores = torch.bmm(part, value[:, :end].transpose(1, 2))
            to_scores = torch._softmax_backward_data(
                to_scores, probabilities, -1, probabilities.dtype
            )
            to_query[:, :, start:end] = torch.bmm(to_scores, key[:, :end]).view(
                groups, share, end - start, size
            )
            to_key[:, :end] += torch.bmm(
                to_scores.transpose(1, 2), scaled[:, :, start:end].reshape(groups, -1, size)
            )
        to_query = (to_query * ctx.scaling).view(groups * share, length, size)
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype), None


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(length, start + BLOCK)) for start in range(0, length, BLOCK)]
