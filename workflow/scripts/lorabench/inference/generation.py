"""Greedy generation of a fixed number of tokens with a time stamp for each, batch 1.

An own loop over the model's forward pass, so that nothing but the model stands between two stamps:
no streamer, no stopping rules, no text decoding. The end of a turn is suppressed, because variants
that answer at different lengths would otherwise differ in speed.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache, PreTrainedModel

if TYPE_CHECKING:
    from peft import PeftModel

NANOSECONDS_PER_MILLISECOND = 1e6


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Tokens of one generation and their times in milliseconds."""

    tokens: list[int]
    time_to_first_token_ms: (
        # from the call (token ids in host memory) to the first new token in host memory
        float
    )
    # len(tokens) - 1 gaps
    inter_token_latencies_ms: list[float]
    # from the call to the last token
    end_to_end_ms: float


def generate_timed(
    model: "PreTrainedModel | PeftModel",
    prompt: Sequence[int],
    new_tokens: int,
    suppressed: Sequence[int],
) -> Generation:
    """Generate exactly `new_tokens` tokens after `prompt`, greedily, never one of `suppressed`.

    Python's garbage collector rests meanwhile, as in `timeit`.
    """
    gc.collect()
    gc.disable()
    try:
        tokens, stamps = _generate(model, prompt, new_tokens, suppressed)
    finally:
        gc.enable()
    milliseconds = [stamp / NANOSECONDS_PER_MILLISECOND for stamp in stamps]
    return Generation(
        tokens=tokens,
        time_to_first_token_ms=milliseconds[1] - milliseconds[0],
        inter_token_latencies_ms=[after - before for before, after in pairwise(milliseconds[1:])],
        end_to_end_ms=milliseconds[-1] - milliseconds[0],
    )


@torch.inference_mode()
def _generate(
    model: "PreTrainedModel | PeftModel",
    prompt: Sequence[int],
    new_tokens: int,
    suppressed: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Return the new tokens, and the time of the call followed by that of each token in
    nanoseconds."""
    banned = torch.tensor(suppressed, dtype=torch.long, device=model.device)
    stamps = [time.perf_counter_ns()]
    tokens: list[int] = []
    cache = DynamicCache(config=model.config)
    step = torch.tensor([list(prompt)], device=model.device)
    for _ in range(new_tokens):
        logits = model(
            input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        step = logits.index_fill(1, banned, float("-inf")).argmax(dim=-1, keepdim=True)
        tokens.append(
            int(step.item())
            # waits for the device: without it a GPU's stamp is that of the launch
        )
        stamps.append(time.perf_counter_ns())
    return tokens, stamps
