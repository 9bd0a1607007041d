"""How fast the processor that trains can multiply: a reading, and a warning before."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from lorabench.processor import fast_bfloat16

logger = logging.getLogger(__name__)

SMALLEST_SIDE, LARGEST_SIDE, REPEATS = 128, 2048, 5
BUDGET_SECONDS = 1.0


def matrix_speed(
    dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Return the highest rate of a square matrix product on the threads in use.

    The side doubles while the next product still fits into the budget of a second: a processor
    without bfloat16 instructions would need minutes for the largest.
    """
    side, repeats, best, left = SMALLEST_SIDE, 0, 0.0, BUDGET_SECONDS
    seconds = 0.0
    while seconds <= left and repeats < REPEATS:
        matrix = torch.ones(side, side, dtype=dtype)
        started = clock()
        torch.mm(matrix, matrix)
        seconds = clock() - started
        left -= seconds
        best = max(best, 2 * side**3 / seconds)
        repeats += 1
        # twice the side is eight times the work
        if side < LARGEST_SIDE and repeats > 1 and 8 * seconds <= left / 2:
            side, repeats, seconds = 2 * side, 0, 8 * seconds
    return {
        "flops_per_second": best,
        "threads": torch.get_num_threads(),
        "largest_side": side,
    }


def warn_of_slow_bfloat16(dtype: str) -> None:
    """Say so where the config asks a processor for arithmetic that it does slowly."""
    if dtype == "bfloat16" and not torch.cuda.is_available() and not fast_bfloat16():
        logger.warning(
            "train_adapter.dtype is bfloat16, which this processor computes several times slower"
            " than float32; dtype: auto chooses the faster one"
        )
