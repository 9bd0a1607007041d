"""Score and generate rows that share prefixes, with decoders that are built like Llama."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorabench.evaluation.fixed_steps import FixedSteps
from lorabench.evaluation.prefix_attention import (
    Decoding,
    Packing,
    Prefix,
    PrefixEncoding,
    SuffixScoring,
)
from lorabench.evaluation.stopping import StopAt
from lorabench.memory_attention import Memory, memory_attention

# importing peft takes 2 s, and base and merged do without it
if TYPE_CHECKING:
    from peft import PeftModel

# scored positions whose logits exist at once: 128 x 128,256 x 4 bytes = 66 MB
POSITIONS_PER_PROJECTION = 128


@dataclass(kw_only=True)
class ScoredRow:
    """A row of tokens whose last positions predict the tokens of one or more continuations."""

    # context and all but the last token of a continuation
    tokens: list[int]
    continuations: list[list[int]] = field(default_factory=list)

    @property
    def scored(self) -> int:
        """Number of trailing positions that are scored."""
        return max(len(continuation) for continuation in self.continuations)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generated row."""

    # new tokens, the one that ended the row included
    tokens: list[int]
    # True where the token limit ended the row
    truncated: bool


@dataclass(kw_only=True)
class GenerationRequest:
    """A prompt and what ends its continuation."""

    tokens: list[int]
    max_new_tokens: int
    # of the new tokens so far; called after each
    is_complete: StopAt
    # next token from logits (vocabulary,) in float32; None = the likeliest
    choose: Callable[[Tensor], int] | None = None


@dataclass(kw_only=True)
class _Row:
    index: int
    request: GenerationRequest
    tokens: list[int] = field(default_factory=list)


class SharedPrefixModel:
    """A causal language model that computes what several rows share once.

    Args:
        model: base, merged, or an unmerged PeftModel; its layers must use transformers' attention
            interface.
        load: where `model` is a skeleton: brings the same model with its weights, which happens
            when the first pass needs them.
        fixed_shapes: decode in a few fixed shapes; None = on a GPU, which replays them as CUDA
            graphs.
    """

    def __init__(
        self,
        model: "PreTrainedModel | PeftModel",
        *,
        load: "Callable[[], PreTrainedModel | PeftModel] | None" = None,
        fixed_shapes: bool | None = None,
    ) -> None:
        # its configuration is at hand, its weights may not be
        self.outline = _inner(model)
        self._load = load
        self._fixed = fixed_shapes
        self._head_weight: Tensor | None = None
        self.tokens_computed = 0

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model with its weights; the first look loads them."""
        return _inner(self._load()) if self._load else self.outline

    @cached_property
    def body(self) -> Any:
        """The layers without the output layer."""
        return self.model.get_decoder()

    @cached_property
    def head(self) -> Any:
        """The output layer."""
        return self.model.get_output_embeddings()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @cached_property
    def fixed_shapes(self) -> bool:
        """Whether generation decodes in a few fixed shapes."""
        return self.device.type == "cuda" if self._fixed is None else self._fixed

    @property
    def bytes_per_token(self) -> int:
        """Return the bytes of keys and values that a token takes."""
        config: Any = self.model.config
        heads = config.num_attention_heads
        key_heads = getattr(config, "num_key_value_heads", None) or heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        return 2 * int(config.num_hidden_layers * key_heads * size) * self.model.dtype.itemsize

    def free_bytes(self) -> float | None:
        """Return the free memory of the GPU, what torch holds unused included; None on a CPU."""
        if self.device.type != "cuda":
            return None
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return float(torch.cuda.mem_get_info()[0] + unused)

    def encode_prefix(self, tokens: Sequence[int]) -> Prefix:
        """Return the keys and values of a prefix; an empty one costs nothing."""
        if not tokens:
            return Prefix()
        encoding = PrefixEncoding(len(tokens))
        self._hidden(
            self._pack([tokens]), torch.arange(len(tokens), device=self.device)[None], encoding
        )
        return encoding.prefix

    def score(self, prefix: Prefix, rows: Sequence[ScoredRow]) -> list[list[tuple[float, bool]]]:
        """Return (log-likelihood, is the greedy choice) of each continuation of each row.

        The rows' tokens begin after the prefix. Final projection and log-softmax are float32 in any
        dtype: the steps of bfloat16 logits (0.125 at 16 to 32) would make ties of near answers.
        """
        packing = Packing([len(row.tokens) for row in rows], self.device)
        inputs = self._pack([row.tokens for row in rows])
        hidden = self._hidden(
            inputs, prefix.length + packing.positions[None], SuffixScoring(prefix, packing)
        )[0]
        ends = (packing.ends + 1).tolist()
        # each (scored, hidden size)
        wanted = [hidden[end - row.scored : end] for row, end in zip(rows, ends, strict=True)]
        scores: list[list[tuple[float, bool]]] = []
        start = 0
        while start < len(rows):
            stop = start + 1
            while (
                stop < len(rows)
                and sum(row.scored for row in rows[start : stop + 1]) <= POSITIONS_PER_PROJECTION
            ):
                stop += 1
            logits = self._project_float32(torch.cat(wanted[start:stop]))
            pieces = logits.split([row.scored for row in rows[start:stop]])
            scores += [
                _score_row(row, piece) for row, piece in zip(rows[start:stop], pieces, strict=True)
            ]
            start = stop
        return scores

    def generate(
        self, prefix: Prefix, requests: Sequence[GenerationRequest], slots: int
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (position in `requests`, result) as rows end; the next row takes the place.

        Args:
            prefix: what all prompts share; the requests' tokens begin after it.
            requests: prompts of at least one token each.
            slots: rows that are generated together at most.
        """
        queue = deque(_Row(index=index, request=request) for index, request in enumerate(requests))
        capacity = max(len(request.tokens) + request.max_new_tokens for request in requests)
        slots = min(slots, len(requests))
        memory = Decoding(prefix, slots, capacity)
        steps = self._fixed_steps(memory) if self.fixed_shapes else None
        active: list[_Row] = []
        while queue or active:
            free = slots - len(active)
            # a quarter of the slots at least: fewer, larger reading passes
            if queue and free >= min(len(queue), max(1, slots // 4)):
                new = [queue.popleft() for _ in range(min(free, len(queue)))]
                logits = self._read_prompts(memory, len(active), new)
                active += new
            else:
                new = active
                logits = self._step(memory, active, steps)
            _choose(new, logits)
            yield from _retire(memory, active)

    def _read_prompts(self, memory: Decoding, first_slot: int, rows: list[_Row]) -> Tensor:
        packing = Packing([len(row.request.tokens) for row in rows], self.device)
        memory.read(first_slot, packing)
        inputs = self._pack([row.request.tokens for row in rows])
        hidden = self._hidden(inputs, memory.prefix.length + packing.positions[None], memory)[0]
        return self._project(hidden[packing.ends])

    def _step(self, memory: Decoding, rows: list[_Row], steps: FixedSteps | None) -> Tensor:
        places = [len(row.request.tokens) + len(row.tokens) - 1 for row in rows]
        newest = [row.tokens[-1] for row in rows]
        if steps is not None:
            self.tokens_computed += len(rows)
            return steps(newest, places)
        own = torch.tensor(places, device=self.device)
        memory.step(own, self.model.dtype)
        inputs = torch.tensor(newest, device=self.device)[:, None]
        return self._project(
            self._hidden(inputs, memory.prefix.length + own[:, None], memory)[:, 0]
        )

    def _fixed_steps(self, memory: Decoding) -> FixedSteps:
        """Return the steps of a generation in fixed shapes; what they add is not counted."""

        def step(inputs: Tensor, places: Tensor, length: int) -> Tensor:
            memory.step(places[:, 0], self.model.dtype, length)
            hidden = self._hidden(inputs, memory.prefix.length + places, memory, counted=False)
            return self._project(hidden[:, 0])

        captured = self.device.type == "cuda"
        return FixedSteps(step, memory.slots, memory.capacity, self.device, captured=captured)

    def _hidden(
        self, inputs: Tensor, positions: Tensor, memory: Memory, *, counted: bool = True
    ) -> Tensor:
        """Return the last hidden states (batch, length, hidden size) of ids (batch, length)."""
        self.tokens_computed += inputs.numel() if counted else 0
        with torch.inference_mode(), memory_attention(self.model):
            output = self.body(
                input_ids=inputs, position_ids=positions, use_cache=False, memory=memory
            )
        return output.last_hidden_state

    def _project(self, hidden: Tensor) -> Tensor:
        """Return logits (n, vocabulary) as the model itself computes them, converted to float32."""
        with torch.inference_mode():
            return self.head(hidden).float()

    def _project_float32(self, hidden: Tensor) -> Tensor:
        """Return logits (n, vocabulary) computed in float32."""
        # an adapted or quantised head has its own forward pass
        if type(self.head) is not nn.Linear:
            return self._project(hidden)
        with torch.inference_mode():
            if self._head_weight is None:
                self._head_weight = self.head.weight.float()
            return nn.functional.linear(hidden.float(), self._head_weight)

    def _pack(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the token ids (1, tokens) of all rows, one behind the other."""
        return torch.tensor([[token for row in rows for token in row]], device=self.device)


def _inner(model: Any) -> PreTrainedModel:
    """Return the model of transformers, out of PEFT's wrapper where it has one."""
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def _score_row(row: ScoredRow, logits: Tensor) -> list[tuple[float, bool]]:
    """Score a row's continuations with its logits (scored, vocabulary)."""
    logprobs = torch.log_softmax(logits, dim=-1)
    greedy = logits.argmax(dim=-1).tolist()
    results = []
    for continuation in row.continuations:
        first = row.scored - len(continuation)
        target = torch.tensor(continuation, device=logits.device)
        total = logprobs[torch.arange(first, row.scored, device=logits.device), target].sum()
        results.append((float(total), greedy[first:] == continuation))
    return results


def _choose(rows: list[_Row], logits: Tensor) -> None:
    """Append the next token to each row, given logits (rows, vocabulary)."""
    likeliest = logits.argmax(dim=-1).tolist()
    for row, token, scores in zip(rows, likeliest, logits, strict=True):
        row.tokens.append(token if row.request.choose is None else row.request.choose(scores))


def _retire(memory: Decoding, active: list[_Row]) -> list[tuple[int, Generation]]:
    """Take the finished rows out of `active`, keeping the slots of the others without gaps."""
    done = []
    for slot in reversed(range(len(active))):
        row = active[slot]
        complete = row.request.is_complete(row.tokens)
        if not complete and len(row.tokens) < row.request.max_new_tokens:
            continue
        done.append((row.index, Generation(tokens=row.tokens, truncated=not complete)))
        last = len(active) - 1
        if slot != last:
            memory.move(last, slot)
            active[slot] = active[last]
        active.pop()
    return done
