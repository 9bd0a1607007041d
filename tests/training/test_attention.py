"""Attention for packed rows equals eager attention, forward and backward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lorabench.training.attention import (
    DOCUMENT_SDPA,
    MASKED,
    choose_attention,
    document_sdpa,
    varlen,
)
from lorabench.training.micro_batches import MicroBatch

# arguments of an attention that say where documents begin
WHERE = ("boundaries", "longest", "document_lengths")

pytest_plugins = ["varlen_on_cpu"]


@pytest.mark.usefixtures("varlen_on_cpu")
@pytest.mark.parametrize("heads", [(4, 4), (6, 2)])
@pytest.mark.parametrize(("rows", "documents"), [(1, [7, 30, 1, 26]), (3, [64, 64, 64])])
def test_outputs_and_gradients_are_those_of_eager_attention(
    heads: tuple[int, int], rows: int, documents: list[int]
) -> None:
    """float32, with grouped heads or not, packed and padded: within 1e-5."""
    torch.manual_seed(0)
    length = sum(documents) // rows
    query = torch.randn(rows, heads[0], length, 16, requires_grad=True)
    key, value = (torch.randn(rows, heads[1], length, 16, requires_grad=True) for _ in range(2))
    upstream = torch.randn(rows, length, heads[0], 16)
    document = torch.repeat_interleave(torch.tensor(documents)).view(rows, length)
    allowed = (document[:, :, None] == document[:, None, :]).tril().unsqueeze(1)
    groups = heads[0] // heads[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * 0.3
    probabilities = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    eager = (probabilities @ value.repeat_interleave(groups, 1)).transpose(1, 2)
    expected = torch.autograd.grad(eager, (query, key, value), upstream)
    nothing = torch.zeros(rows, length, dtype=torch.int64)
    batch = MicroBatch(
        input_ids=nothing,
        position_ids=nothing,
        documents=documents,
        longest=64,
        predictors=nothing,
        targets=nothing,
        tokens=rows * length,
    )
    functions: list[tuple[str, Callable[..., Any]]] = [
        ("varlen", varlen),
        (DOCUMENT_SDPA, document_sdpa),
    ]
    for name, function in functions:
        given = batch.model_inputs(name, torch.device("cpu"))
        where = {key: given[key] for key in WHERE if key in given}
        output, _ = function(torch.nn.Module(), query, key, value, None, scaling=0.3, **where)
        torch.testing.assert_close(output, eager, rtol=1e-5, atol=1e-5)
        found = torch.autograd.grad(output, (query, key, value), upstream)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_cpu_computes_blocks_and_compiled_layers_a_mask() -> None:
    """The compiler would start again for every list of lengths."""
    cpu = torch.device("cpu")
    assert choose_attention(cpu, torch.float32, compiled=False) == DOCUMENT_SDPA
    assert choose_attention(cpu, torch.bfloat16, compiled=True) == MASKED
