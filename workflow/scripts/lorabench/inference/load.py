"""Load on our own decoder: each user sends the next request when the last one is answered.

Prompts that wait are read before the next step, one after the other, as servers without chunked
reading do: a request's first token waits for the prompts before it, and the running requests wait
meanwhile.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from lorabench.inference.decoder import Decoder
from lorabench.inference.machine_state import MIB, available_memory_mib

MILLISECONDS = 1000.0
# memory that a level needs besides keys and values, as a multiple of them
HEADROOM = 1.2


@dataclass(kw_only=True)
class Served:
    """One answered request; times in milliseconds."""

    number: int
    tokens: list[int] = field(default_factory=list)
    # from the start of the level
    sent_ms: float
    time_to_first_token_ms: float = 0.0
    end_to_end_ms: float = 0.0


def serve(
    decoder: Decoder, prompts: Sequence[Sequence[int]], requests: int, new_tokens: int
) -> list[Served]:
    """Answer `requests` requests of `new_tokens` tokens, one a slot; prompts take turns.

    Python's garbage collector rests meanwhile.
    """
    decoder.prepare(prompts[:requests])
    gc.collect()
    gc.disable()
    try:
        return _closed_loop(decoder, prompts, requests, new_tokens)
    finally:
        gc.enable()


def _closed_loop(
    decoder: Decoder, prompts: Sequence[Sequence[int]], requests: int, new_tokens: int
) -> list[Served]:
    start = time.perf_counter()

    def now() -> float:
        return MILLISECONDS * (time.perf_counter() - start)

    done: list[Served] = []
    active: dict[int, Served] = {}
    waiting: list[tuple[int, Served]] = []
    sent = 0
    free = list(range(decoder.slots.count))
    while len(done) < requests:
        for slot in free:
            if sent < requests:
                waiting.append((slot, Served(number=sent, sent_ms=now())))
                sent += 1
        free = []
        for slot, request in waiting:
            request.tokens.append(decoder.read(slot, prompts[request.number % len(prompts)]))
            request.time_to_first_token_ms = now() - request.sent_ms
            active[slot] = request
        waiting = []
        tokens = decoder.step()
        for slot, request in list(active.items()):
            request.tokens.append(tokens[slot])
            if len(request.tokens) == new_tokens:
                request.end_to_end_ms = now() - request.sent_ms
                done.append(active.pop(slot))
                free.append(slot)
    return sorted(done, key=lambda request: request.number)


def lacking_memory(bytes_per_token: int, capacity: int, concurrency: int) -> str | None:
    """Return why the memory does not hold so many requests, None if it does."""
    needed = HEADROOM * bytes_per_token * capacity * concurrency
    if torch.cuda.is_available():
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        free = float(torch.cuda.mem_get_info()[0] + held)
    else:
        free = available_memory_mib() * MIB
    if needed <= free:
        return None
    return f"keys and values take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
