"""A CPU implementation of PyTorch's kernel for packed rows, so that tests can run the way of a GPU.

Only the two kernels are replaced, forward and backward, by plain float64 attention one document at
a time; PyTorch's registration of gradients and of shapes for the compiler stays.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen


def documents(ends: torch.Tensor, *parts: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Yield each document's (heads, tokens, size) of every part, float64."""
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield [part[start:end].double().transpose(0, 1) for part in parts]


def attend(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the causal probabilities of one document, all with the query's heads."""
    scores = query @ key.transpose(1, 2) * scale
    return scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), float("-inf")).softmax(-1)


def forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    scale: float | None = None,
    *_: Any,
    **__: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stand in for the forward kernel."""
    lengths = cu_seq_q.diff()
    assert is_causal and int(lengths.max()) <= max_q == max_k
    assert int(cu_seq_q[-1]) == len(query)
    groups = query.shape[1] // key.shape[1]
    scale = scale or query.shape[-1] ** -0.5
    outputs = []
    for q, k, v in documents(cu_seq_q, query, key, value):
        probabilities = attend(q, k.repeat_interleave(groups, 0), scale)
        outputs.append(probabilities @ v.repeat_interleave(groups, 0))
    output = torch.cat(outputs, 1).transpose(0, 1).to(query.dtype).contiguous()
    return output, torch.empty(query.shape[1], len(query)), torch.zeros(2, dtype=torch.uint64)


def backward(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    output: torch.Tensor,
    lse: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool,
    rng_state: torch.Tensor,
    scale: float | None = None,
    *_: Any,
    **__: Any,
) -> tuple[torch.Tensor, ...]:
    """Stand in for the backward kernel."""
    groups = query.shape[1] // key.shape[1]
    scale = scale or query.shape[-1] ** -0.5
    found: tuple[list[torch.Tensor], ...] = ([], [], [])
    for q, k, v, upstream in documents(cu_seq_q, query, key, value, gradient):
        probabilities = attend(q, k.repeat_interleave(groups, 0), scale)
        to_probabilities = upstream @ v.repeat_interleave(groups, 0).transpose(1, 2)
        inner = to_probabilities - (to_probabilities * probabilities).sum(-1, keepdim=True)
        to_scores = probabilities * inner * scale
        found[0].append(to_scores @ k.repeat_interleave(groups, 0))
        for part, (left, right) in zip(
            found[1:], ((to_scores, q), (probabilities, upstream)), strict=True
        ):
            whole = left.transpose(1, 2) @ right
            part.append(whole.view(len(k), groups, *whole.shape[1:]).sum(1))
    return tuple(
        torch.cat(part, 1).transpose(0, 1).to(like.dtype).contiguous()
        for part, like in zip(found, (query, key, value), strict=True)
    )


@pytest.fixture(scope="session")
def varlen_on_cpu() -> None:
    """Register the kernels; nothing else uses them on a CPU."""
    varlen._varlen_attn.register_kernel("cpu")(forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(backward)
