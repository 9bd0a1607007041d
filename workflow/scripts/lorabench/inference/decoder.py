"""Greedy decoding with keys and values in fixed places, which a GPU can replay as a graph.

On a GPU, Python needs longer to launch the few hundred kernels of a step than the GPU needs to run
them. A server captures the step once and replays it; so does this decoder, for the step of all
slots and for the reading of a prompt (padded on the right to a few lengths). On a CPU the same code
runs uncaptured and without padding.

Every slot holds one request. All tensors that a captured pass reads or writes are made once:
`ids` and `positions` (slots, 1), and per layer keys and values (slots, key heads, capacity, head
size). A slot that is not in use computes values that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from lorabench.captured import Captured
from lorabench.memory_attention import memory_attention

if TYPE_CHECKING:
    from peft import PeftModel

# a GPU reads prompts of these multiples of tokens, so that few graphs serve all prompts
PADDED_TO = 64


class Slots:
    """Keys and values of all requests, and how a pass reads and writes them.

    Args:
        count: requests that are decoded together.
        capacity: tokens of a request, prompt and new ones.
        device, dtype: of the model.
        whole_reach: attend to all places of a slot, those not yet written masked; a captured step
            needs shapes that never change. Otherwise only to the places in use by any slot.
    """

    def __init__(
        self,
        count: int,
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        whole_reach: bool,
    ) -> None:
        self.count = count
        self.capacity = capacity
        self.whole_reach = whole_reach
        # place of each slot's newest token, whose keys the next step writes
        self.positions = torch.zeros((count, 1), dtype=torch.long, device=device)
        # the slot that a prompt is read into
        self.target = torch.zeros(1, dtype=torch.long, device=device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._rows = torch.arange(count, device=device)
        self._places = torch.arange(capacity, device=device)
        self._reading = False
        # added to the scores (slots, 1, 1, reach); made once a step, for all layers
        self._mask = torch.empty(0)
        self._dtype = dtype

    def announce_prompt(self) -> None:
        """Let the next pass be over one prompt (1, length), written into the slot `target`."""
        self._reading = True

    def announce_step(self) -> None:
        """Let the next pass be over one token of every slot (slots, 1), at `positions`."""
        self._reading = False
        reach = self.capacity if self.whole_reach else int(self.positions.max()) + 1
        outside = self._places[None, None, None, :reach] > self.positions[:, None, None]
        zeros = torch.zeros(outside.shape, dtype=self._dtype, device=outside.device)
        self._mask = zeros.masked_fill_(outside, float("-inf"))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Keep the new keys and values and return the attention output, shaped like `query`."""
        if layer == len(self.keys):
            shape = (self.count, key.shape[1], self.capacity, key.shape[3])
            self.keys.append(key.new_zeros(shape))
            self.values.append(value.new_zeros(shape))
        keys, values = self.keys[layer], self.values[layer]
        if self._reading:
            length = key.shape[2]
            keys[:, :, :length].index_copy_(0, self.target, key)
            values[:, :, :length].index_copy_(0, self.target, value)
            return scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale, enable_gqa=True
            )
        places = self.positions[:, 0]
        keys[self._rows, :, places] = key[:, :, 0]
        values[self._rows, :, places] = value[:, :, 0]
        reach = self._mask.shape[-1]
        # the heads that share a key head form one sequence: keys are read once, never repeated
        grouped = query.view(self.count, key.shape[1], -1, query.shape[3])
        output = scaled_dot_product_attention(
            grouped, keys[:, :, :reach], values[:, :, :reach], attn_mask=self._mask, scale=scale
        )
        return output.view(query.shape)

    @property
    def bytes_per_token(self) -> int:
        """Return the bytes of keys and values that one token of one request takes."""
        buffers = [*self.keys, *self.values]
        return sum(buffer.nbytes for buffer in buffers) // (self.count * self.capacity)


class Decoder:
    """A model with slots for requests: `read` fills a slot, `step` adds a token to every slot.

    Args:
        model: base, merged, or an unmerged PeftModel; its layers must use transformers' attention
            interface and attend to everything before them, as they do within `context_length`.
        slots: requests that are decoded together.
        capacity: tokens of a request at most, prompt and new ones.
        suppressed: tokens that are never chosen.
        captured: replay passes as CUDA graphs; None = on a GPU.
        padded_to: prompts are padded on the right to a multiple of this; None = `PADDED_TO` where
            passes are captured, else 1.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        *,
        slots: int,
        capacity: int,
        suppressed: Sequence[int],
        captured: bool | None = None,
        padded_to: int | None = None,
    ) -> None:
        outer: Any = model
        self.model: PreTrainedModel = (
            outer.get_base_model() if hasattr(model, "get_base_model") else outer
        )
        device = self.model.device
        self.captured = device.type == "cuda" if captured is None else captured
        self._multiple = padded_to or (PADDED_TO if self.captured else 1)
        capacity = -(-capacity // self._multiple) * self._multiple
        self.slots = Slots(slots, capacity, device, self.model.dtype, whole_reach=self.captured)
        self.ids = torch.zeros((slots, 1), dtype=torch.long, device=device)
        self._suppressed = torch.tensor(suppressed, dtype=torch.long, device=device)
        # the graphs run one after the other, so one place for what they compute serves all
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._prompts: dict[int, _Prompt] = {}
        self._step = self._pass(self._run_step)

    def read(self, slot: int, prompt: Sequence[int]) -> int:
        """Put a prompt into a slot and return the first new token."""
        length = -(-len(prompt) // self._multiple) * self._multiple
        if length not in self._prompts:
            self._prompts[length] = _Prompt(length, self.ids.device)
        reading = self._prompts[length]
        reading.set(prompt)
        self.slots.target.fill_(slot)
        if reading.run is None:
            reading.run = self._pass(lambda: self._run_prompt(reading))
        reading.run()
        # waits for the device: without it a GPU's time is that of the launch
        return int(self.ids[slot].item())

    def step(self) -> list[int]:
        """Return the next token of every slot, in order of slots."""
        self._step()
        return list(self.ids[:, 0].tolist())

    def prepare(self, prompts: Sequence[Sequence[int]]) -> None:
        """Meet every padded length and the step once, so that captures come before timing."""
        lengths: dict[int, Sequence[int]] = {}
        for prompt in prompts:
            lengths.setdefault(-(-len(prompt) // self._multiple), prompt)
        shortest = [min(lengths.values(), key=len)]
        for prompt in lengths.values() if self.captured else shortest:
            self.read(0, prompt)
        self.step()

    @property
    def weight_bytes_per_step(self) -> int:
        """Return the bytes of parameters that a step reads; of an untied embedding, a row."""
        embedding: Any = self.model.get_input_embeddings().weight
        head: Any = self.model.get_output_embeddings()
        tied = head is not None and getattr(head, "weight", None) is embedding
        read = sum(parameter.nbytes for parameter in self.model.parameters())
        return int(read if tied else read - embedding.nbytes)

    def _run_step(self) -> None:
        self.slots.announce_step()
        logits = self._logits(self.ids, self.slots.positions, 1)
        self.ids.copy_(self._choose(logits))
        # an unused slot stays at its last place
        self.slots.positions.add_(1).clamp_(max=self.slots.capacity - 1)

    def _run_prompt(self, prompt: _Prompt) -> None:
        self.slots.announce_prompt()
        token = self._choose(self._logits(prompt.ids, prompt.places, prompt.last))
        self.ids.index_copy_(0, self.slots.target, token)
        self.slots.positions.index_copy_(0, self.slots.target, prompt.last[:, None] + 1)

    def _logits(self, ids: Tensor, positions: Tensor, keep: int | Tensor) -> Tensor:
        """Return logits (batch, vocabulary) of one place of each row of token ids."""
        with memory_attention(self.model):
            return self.model(
                input_ids=ids,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=keep,
                memory=self.slots,
            ).logits[:, -1]

    def _choose(self, logits: Tensor) -> Tensor:
        return logits.index_fill(1, self._suppressed, float("-inf")).argmax(dim=-1, keepdim=True)

    def _pass(self, run: Callable[[], None]) -> Callable[[], None]:
        """Return `run` without gradients; on a GPU, its capture at the first call."""
        if self.captured:
            return Captured(run, [self.ids, self.slots.positions], self._pool)
        return torch.inference_mode()(run)


class _Prompt:
    """Fixed tensors of prompts that are padded to one length."""

    def __init__(self, length: int, device: torch.device) -> None:
        self.ids = torch.zeros((1, length), dtype=torch.long, device=device)
        self.places = torch.arange(length, device=device)[None]
        # place of the last token that is no pad
        self.last = torch.zeros(1, dtype=torch.long, device=device)
        self.run: Callable[[], None] | None = None

    def set(self, prompt: Sequence[int]) -> None:
        """Hold these token ids, pads behind them."""
        pads = [0] * (self.ids.shape[1] - len(prompt))
        self.ids.copy_(torch.tensor([[*prompt, *pads]]))
        self.last.fill_(len(prompt) - 1)
