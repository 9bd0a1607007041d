"""BlockAttention equals PyTorch's causal attention, forward and backward."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from lorabench.training.block_attention import BlockAttention


@pytest.mark.parametrize("length", [1, 100, 128, 300])
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (9, 3)])
def test_outputs_and_gradients_equal_those_of_pytorch(length: int, heads: tuple[int, int]) -> None:
    """For lengths within, at and beyond a block, with and without grouped key-value heads."""
    torch.manual_seed(0)
    query = torch.randn(heads[0], length, 16, requires_grad=True)
    key, value = (torch.randn(heads[1], length, 16, requires_grad=True) for _ in range(2))
    upstream = torch.randn(heads[0], length, 16)
    ours = BlockAttention.apply(query, key, value, 0.3)
    theirs = scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=True, scale=0.3, enable_gqa=True
    )[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    expected = torch.autograd.grad(theirs, (query, key, value), upstream)
    for ours_gradient, theirs_gradient in zip(
        torch.autograd.grad(ours, (query, key, value), upstream), expected, strict=True
    ):
        torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-4, atol=1e-5)
