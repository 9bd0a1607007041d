"""Attention over a prefix that all rows of a batch share, without a copy for each row.

A row's attention has two parts: over the shared prefix (all rows at once, as if they were one long
row) and over the row's own tokens. Each part is a separate softmax; the two are joined exactly by
the logarithms of their normalisers. The idea is that of Hydragen (Juravsky et al. 2024, arXiv
2402.05099); the code is transformers' attention interface plus the fused kernels of torch that also
return the normaliser.

Rows go through the model packed one behind the other. Only the second part needs a row apart: there
they are padded on the right, so that causality keeps pads out and the fused kernels need no mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Prefix:
    """Keys and values of a prefix, one entry a layer, each (1, key heads, length, head size)."""

    length: int = 0
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


class PrefixEncoding:
    """Forward pass over a prefix only: causal attention; keys and values are kept in `prefix`."""

    def __init__(self, length: int) -> None:
        self.prefix = Prefix(length=length)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend causally and keep the layer's keys and values."""
        self.prefix.keys.append(key)
        self.prefix.values.append(value)
        return partial_attention(query, key, value, scale, causal=True)[0]


class Packing:
    """Where tokens of rows packed one behind the other belong in right-padded rows.

    Args:
        lengths: tokens of each row.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        sizes = torch.tensor(lengths, device=device)
        # (tokens,)
        self.rows = torch.arange(len(lengths), device=device).repeat_interleave(
            sizes, output_size=sum(lengths)
        )
        # (rows,) place of each row's last token
        self.ends = sizes.cumsum(0) - 1
        starts = self.ends + 1 - sizes
        # (tokens,) within the row
        self.positions = torch.arange(len(self.rows), device=device) - starts[self.rows]
        padded = starts[:, None] + torch.arange(max(lengths), device=device)
        # (rows, longest); pads repeat some other token
        self._places = padded.clamp_(max=len(self.rows) - 1)
        self.longest = max(lengths)

    def unpack(self, tensor: Tensor) -> Tensor:
        """Turn (1, heads, tokens, size) into (rows, heads, longest, size)."""
        return tensor[0][:, self._places].transpose(0, 1)

    def pack(self, output: Tensor, normaliser: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (rows, heads, longest, …) of output and normaliser into (1, heads, tokens, …)."""
        packed = output[self.rows, :, self.positions].transpose(0, 1)[None]
        return packed, normaliser[self.rows, :, self.positions].T[None]


class SuffixScoring:
    """Forward pass over packed suffixes of one prefix; nothing is kept."""

    def __init__(self, prefix: Prefix, packing: Packing) -> None:
        self.prefix = prefix
        self.packing = packing

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend to the prefix and causally to the row itself."""
        query_rows, key_rows, value_rows = (
            self.packing.unpack(tensor) for tensor in (query, key, value)
        )
        own = self.packing.pack(
            *partial_attention(query_rows, key_rows, value_rows, scale, causal=True)
        )
        return join(own, prefix_attention(self.prefix, layer, query, scale))


class Decoding:
    """Passes of a generation: prompts are put into slots, then one token a row is added.

    The rows in use are always slots 0 to n - 1. Buffers are (slots, key heads, capacity, head size)
    for each layer.
    """

    def __init__(self, prefix: Prefix, slots: int, capacity: int) -> None:
        self.prefix = prefix
        self.slots = slots
        # own tokens of a row, generated ones included
        self.capacity = capacity
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        # of the prompts being read; None while decoding
        self.packing: Packing | None = None
        # that the first of these prompts takes
        self.first_slot = 0
        # (n,) own position that the current token takes
        self.positions = torch.empty(0, dtype=torch.long)
        # (n, 1, 1, longest row) 0 where a row has a token, -inf elsewhere
        self.mask = torch.empty(0)

    def read(self, first_slot: int, packing: Packing) -> None:
        """Announce a pass over packed prompts that take the slots from `first_slot` on."""
        self.first_slot = first_slot
        self.packing = packing

    def step(self, positions: Tensor, dtype: torch.dtype, length: int | None = None) -> None:
        """Announce a pass over one token for slots 0 to n - 1, at these positions (n,).

        `length` is of the rows that it attends to, None = the longest's own.
        """
        self.packing = None
        self.positions = positions
        # without a length the device is asked, which a captured pass cannot
        length = int(positions.max()) + 1 if length is None else length
        reach = torch.arange(length, device=positions.device)
        outside = reach[None, None, None, :] > positions[:, None, None, None]
        self.mask = torch.zeros(outside.shape, dtype=dtype, device=positions.device).masked_fill_(
            outside, -torch.inf
        )

    def move(self, source: int, target: int) -> None:
        """Let the row in slot `source` take slot `target`."""
        # the buffers were made in it
        with torch.inference_mode():
            for buffer in (*self.keys, *self.values):
                buffer[target] = buffer[source]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Write new keys and values into the buffers; attend to the prefix and the own row."""
        if layer == len(self.keys):
            shape = (self.slots, key.shape[1], self.capacity, key.shape[3])
            self.keys.append(key.new_zeros(shape))
            self.values.append(value.new_zeros(shape))
        keys, values = self.keys[layer], self.values[layer]
        if self.packing:
            query_rows, key_rows, value_rows = (
                self.packing.unpack(tensor) for tensor in (query, key, value)
            )
            taken = slice(self.first_slot, self.first_slot + key_rows.shape[0])
            keys[taken, :, : self.packing.longest] = key_rows
            values[taken, :, : self.packing.longest] = value_rows
            own = self.packing.pack(
                *partial_attention(query_rows, key_rows, value_rows, scale, causal=True)
            )
        else:
            own = self._attend_to_own(query, key, value, scale, keys, values)
        return join(own, prefix_attention(self.prefix, layer, query, scale))

    def _attend_to_own(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, heads, _, size = query.shape
        indices = torch.arange(rows, device=query.device)
        keys[indices, :, self.positions] = key[:, :, 0]
        values[indices, :, self.positions] = value[:, :, 0]
        reach = self.mask.shape[-1]
        # the heads of a key head as one sequence
        grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
        output, normaliser = partial_attention(
            grouped, keys[:rows, :, :reach], values[:rows, :, :reach], scale, mask=self.mask
        )
        return output.reshape(query.shape), normaliser.reshape(rows, heads, 1)


def partial_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend to some of the keys.

    Args:
        query: (batch, heads, queries, head size).
        key, value: (batch, key heads, keys, head size); heads is a multiple of key heads.
        scale: factor on the scores.
        causal: query i sees keys 0 to i only.
        mask: added to the scores, broadcast to (batch, heads, queries, keys).

    Returns:
        The output (batch, heads, queries, head size) in the query's dtype, and the logarithm of the
        sum of the exponentials of the scores (batch, heads, queries) in float32.
    """
    if query.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
    if mask is None and query.dtype in (torch.float16, torch.bfloat16):
        return torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )[:2]
    return plain_attention(query, key, value, scale, causal=causal, mask=mask)


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what `partial_attention` does, written out; for the cases that have no fused kernel."""
    groups = query.shape[1] // key.shape[1]
    # repeating once would copy all keys and values
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(-1, -2)).float() * scale
    if mask is not None:
        scores = scores + mask.float()
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
    normaliser = torch.logsumexp(scores, dim=-1)
    return torch.exp(scores - normaliser[..., None]).to(value.dtype) @ value, normaliser


def prefix_attention(
    prefix: Prefix, layer: int, query: Tensor, scale: float
) -> tuple[Tensor, Tensor] | None:
    """Attend from all queries of a batch to the shared prefix; None without a prefix."""
    if prefix.length == 0:
        return None
    key, value = prefix.keys[layer], prefix.values[layer]
    batch, heads, length, size = query.shape
    key_heads = key.shape[1]
    groups = heads // key_heads
    grouped = query.reshape(batch, key_heads, groups, length, size).permute(1, 2, 0, 3, 4)
    output, normaliser = partial_attention(
        grouped.reshape(1, key_heads, -1, size), key, value, scale
    )
    output = (
        output.reshape(key_heads, groups, batch, length, size)
        .permute(2, 0, 1, 3, 4)
        .reshape(query.shape)
    )
    normaliser = (
        normaliser.reshape(key_heads, groups, batch, length)
        .permute(2, 0, 1, 3)
        .reshape(batch, heads, length)
    )
    return output, normaliser


def join(own: tuple[Tensor, Tensor], shared: tuple[Tensor, Tensor] | None) -> Tensor:
    """Combine two partial attentions of the same queries into one over both sets of keys."""
    if shared is None:
        return own[0]
    # share of the probability that the prefix has
    weight = torch.sigmoid(shared[1] - own[1])[..., None]
    return torch.lerp(own[0].float(), shared[0].float(), weight).to(own[0].dtype)
