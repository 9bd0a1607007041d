"""Greedy generation of a fixed number of tokens with a time stamp for each, one request at a time.

Only the model's passes happen between two stamps: no streamer, no stopping rules, no text
decoding. The end of a turn is suppressed, because variants that answer at different lengths would
otherwise differ in speed.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lorabench.inference.decoder import Decoder

NANOSECONDS_PER_MILLISECOND = 1e6


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Tokens of one generation and their times in milliseconds."""

    tokens: list[int]
    # from the call (token ids in host memory) to the first new token in host memory
    time_to_first_token_ms: float
    # len(tokens) - 1 gaps
    inter_token_latencies_ms: list[float]
    # from the call to the last token
    end_to_end_ms: float


def generate_timed(decoder: Decoder, prompt: Sequence[int], new_tokens: int) -> Generation:
    """Generate exactly `new_tokens` tokens after `prompt` in the decoder's first slot.

    Python's garbage collector rests meanwhile, as in `timeit`.
    """
    gc.collect()
    gc.disable()
    try:
        stamps = [time.perf_counter_ns()]
        tokens = [decoder.read(0, prompt)]
        stamps.append(time.perf_counter_ns())
        for _ in range(new_tokens - 1):
            tokens.append(decoder.step()[0])
            stamps.append(time.perf_counter_ns())
    finally:
        gc.enable()
    milliseconds = [stamp / NANOSECONDS_PER_MILLISECOND for stamp in stamps]
    return Generation(
        tokens=tokens,
        time_to_first_token_ms=milliseconds[1] - milliseconds[0],
        inter_token_latencies_ms=[after - before for before, after in pairwise(milliseconds[1:])],
        end_to_end_ms=milliseconds[-1] - milliseconds[0],
    )
