"""What a variant costs to serve: memory bandwidth, memory, users within limits, money."""

from collections.abc import Mapping, Sequence
from typing import Any

from lorabench.documents.performance import Level, LimitAnswer, SingleStream, StreamMemory
from lorabench.documents.token_times import TokenTimes
from lorabench.scoring.crossed_median import complete_table, median_estimate
from lorabench.scoring.inference_summary import decode_tokens_per_second
from lorabench.scoring.load_summary import most_users

SECONDS_PER_HOUR = 3600
TOKENS = 1_000_000
# share of a step in which the GPU waits above which Python's launches are what is measured
IDLE_LIMIT = 0.2


def single_stream(
    rows: Sequence[TokenTimes], step: Mapping[str, Any], copy_bandwidth: float | None, gpu: bool
) -> SingleStream:
    """Return the speed of one user with its interval, and what bounds it.

    A decode step reads all weights and the keys and values of the tokens before; their bytes by the
    median time of a step, divided by the bandwidth of a large copy, is the share of the memory's
    speed. Above 1: the weights fit the processor's caches.

    Args:
        rows: generations of the variant.
        step: what the worker reported of its decode step.
        copy_bandwidth: bytes a second.
        gpu: whether the variant ran on a GPU.
    """
    values = {(row.repeat, row.prompt_id): decode_tokens_per_second(row) for row in rows}
    estimate = median_estimate(complete_table(values))
    read = step["weight_bytes"] + step["kv_bytes_per_token"] * step["tokens_held"]
    return {
        "tokens_per_second": estimate.value,
        "interval": estimate.interval,
        "bytes_read_per_token": read,
        "copy_bandwidth_bytes_per_second": copy_bandwidth,
        "bandwidth_share": estimate.value * read / copy_bandwidth if copy_bandwidth else None,
        "captured": step["captured"],
        "not_captured": step["not_captured"],
        "gpu_idle_share": step["gpu_idle_share"],
        "launch_bound": gpu and is_launch_bound(step),
    }


def is_launch_bound(step: Mapping[str, Any]) -> bool:
    """Return whether Python's launches bound a GPU's step.

    It waits for more than a fifth of the time, or is not captured and its waiting is not known.
    """
    idle = step["gpu_idle_share"]
    if step["captured"]:
        return False
    return True if idle is None else bool(idle > IDLE_LIMIT)


def stream_memory(
    step: Mapping[str, Any],
    memory: Mapping[str, float | None],
    parameters_mib: float,
    longest: int,
) -> StreamMemory:
    """Return the bytes that one more user takes, keys and values and a pass's activations."""
    kept = step["kv_bytes_per_token"] * longest
    peak = memory.get("steady_peak_gpu_allocated_mib")
    passing = None if peak is None else max(0.0, 2**20 * (peak - parameters_mib) - kept)
    return {
        "kv_bytes_per_token": step["kv_bytes_per_token"],
        "tokens": longest,
        "kv_bytes": kept,
        "activation_bytes": passing,
    }


def users_and_cost(
    levels: Sequence[Level],
    limits: Sequence[Mapping[str, Any]],
    usd_per_gpu_hour: float | None,
) -> list[LimitAnswer]:
    """Return users and cost of a million output tokens for each pair of limits."""
    answers: list[LimitAnswer] = []
    for limit in limits:
        level = most_users(levels, limit["name"])
        interval = level["output_tokens_per_second_interval"] if level else None
        rate = level["output_tokens_per_second"] if level else None
        prices = [usd_per_million(value, usd_per_gpu_hour) for value in reversed(interval or ())]
        bounds = [price for price in prices if price is not None]
        answers.append(
            {
                "name": limit["name"],
                "time_to_first_token_ms": limit["time_to_first_token_ms"],
                "time_per_output_token_ms": limit["time_per_output_token_ms"],
                "users": level["concurrency"] if level else 0,
                # more users might be served: the sweep ended before the limits did
                "at_least": bool(level and level["concurrency"] == levels[-1]["concurrency"]),
                "output_tokens_per_second": rate,
                "usd_per_million_tokens": usd_per_million(rate, usd_per_gpu_hour),
                "usd_interval": bounds if len(bounds) == 2 else None,
                "ratio_to_base": level["ratio_to_base"] if level else None,
            }
        )
    return answers


def usd_per_million(
    tokens_per_second: float | None, usd_per_gpu_hour: float | None
) -> float | None:
    """Return the price of a million output tokens; None without a price or a speed."""
    if not tokens_per_second or usd_per_gpu_hour is None:
        return None
    return TOKENS * usd_per_gpu_hour / (SECONDS_PER_HOUR * tokens_per_second)
