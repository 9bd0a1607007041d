"""Attention in two parts is the attention over the whole."""

import pytest
import torch

from lorabench.evaluation.prefix_attention import (
    Decoding,
    Packing,
    Prefix,
    SuffixScoring,
    join,
    partial_attention,
    plain_attention,
    prefix_attention,
)

HEADS, KEY_HEADS, SIZE, SCALE = 6, 2, 16, 0.25


def tensors(batch: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random query, key and value."""
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, heads, length, SIZE) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    query, key, value = (torch.randn(shape, generator=random) for shape in shapes)
    return query, key, value


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_fused_attention_equals_the_plain_one(causal: bool, masked: bool) -> None:
    """Output and normaliser of torch's fused kernel are those of the formula."""
    query, key, value = tensors(3, 7, seed=1)
    mask = torch.zeros(3, 1, 1, 7).index_fill_(3, torch.tensor([6]), -torch.inf) if masked else None
    fused = partial_attention(query, key, value, SCALE, causal=causal, mask=mask)
    plain = plain_attention(query, key, value, SCALE, causal=causal, mask=mask)
    for ours, expected in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_two_parts_joined_equal_the_whole() -> None:
    """A shared prefix plus causal own tokens give the causal attention over their concatenation."""
    _, prefix_key, prefix_value = tensors(1, 5, seed=2)
    query, key, value = tensors(3, 4, seed=3)
    prefix = Prefix(length=5, keys=[prefix_key], values=[prefix_value])
    own = partial_attention(query, key, value, SCALE, causal=True)
    ours = join(own, prefix_attention(prefix, 0, query, SCALE))
    keys = torch.cat([prefix_key.expand(3, -1, -1, -1), key], dim=2)
    values = torch.cat([prefix_value.expand(3, -1, -1, -1), value], dim=2)
    mask = torch.zeros(4, 9).masked_fill_(torch.ones(4, 9, dtype=torch.bool).triu(6), -torch.inf)
    torch.testing.assert_close(
        ours, plain_attention(query, keys, values, SCALE, mask=mask)[0], rtol=1e-5, atol=1e-5
    )


def test_decoding_token_by_token_equals_one_pass() -> None:
    """Prompts of unlike lengths, read once and continued, see what a whole pass sees."""
    _, prefix_key, prefix_value = tensors(1, 5, seed=4)
    prefix = Prefix(length=5, keys=[prefix_key], values=[prefix_value])
    query, key, value = tensors(2, 6, seed=5)
    packed = [
        torch.cat(tuple(tensor), dim=1)[None] for tensor in (query, key, value)
    ]  # two rows of 6 tokens
    scored = SuffixScoring(prefix, Packing([6, 6], query.device)).attend(
        0, packed[0], packed[1], packed[2], SCALE
    )
    whole = torch.stack(scored[0].split(6, dim=1))
    memory = Decoding(prefix, slots=2, capacity=6)
    lengths = [2, 4]
    memory.read(0, Packing(lengths, query.device))
    prompts = [
        torch.cat([tensor[0, :, :2], tensor[1, :, :4]], dim=1)[None]
        for tensor in (query, key, value)
    ]
    memory.attend(0, prompts[0], prompts[1], prompts[2], SCALE)
    for step in range(2):
        at = torch.tensor([length + step for length in lengths])
        rows = torch.arange(2)
        memory.step(at, torch.float32)
        now = [tensor[rows, :, at][:, :, None] for tensor in (query, key, value)]
        ours = memory.attend(0, now[0], now[1], now[2], SCALE)
        torch.testing.assert_close(ours[:, :, 0], whole[rows, :, at], rtol=1e-5, atol=1e-5)


def test_packing_loses_nothing() -> None:
    """Unpacked rows hold their tokens in front; packing again gives back what was there."""
    packing = Packing([3, 1, 4], torch.device("cpu"))
    packed = torch.arange(8.0).reshape(1, 1, 8, 1)
    rows = packing.unpack(packed)
    assert rows[:, 0, :, 0].tolist()[0][:3] == [0, 1, 2]
    assert rows[:, 0, :, 0].tolist()[1][:1] == [3]
    assert rows[:, 0, :, 0].tolist()[2] == [4, 5, 6, 7]
    again, normaliser = packing.pack(rows, rows[..., 0])
    assert torch.equal(again, packed)
    assert normaliser[0, 0].tolist() == list(range(8))
    assert packing.ends.tolist() == [2, 3, 7]
    assert packing.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
