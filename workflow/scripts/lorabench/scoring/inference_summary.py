"""From raw token times to percentiles, ratios to the base and their noise.

Definitions (docs/metrics.md): one request at a time, token ids ready, so without queueing and
tokenising. Ratios pair the generations of one prompt in one repeat, which ran within seconds of
each other.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lorabench.documents.performance import Distribution, RatioToBase
from lorabench.documents.token_times import TokenTimes
from lorabench.errors import MeasurementError
from lorabench.scoring.crossed_median import median_estimate, noise_band
from lorabench.uncertainty import Floats, Interval

MILLISECONDS = 1000.0
# five values beyond it; with fewer, p99 is the maximum of a few
FEWEST_FOR_P99 = 500


def decode_tokens_per_second(row: TokenTimes) -> float:
    """Return the rate after the first token: (n - 1) / (end to end - time to first token)."""
    return MILLISECONDS * (row.new_tokens - 1) / (row.end_to_end_ms - row.time_to_first_token_ms)


PER_GENERATION: dict[str, Callable[[TokenTimes], float]] = {
    "time_to_first_token_ms": lambda row: row.time_to_first_token_ms,
    "inter_token_latency_ms": lambda row: float(np.median(row.inter_token_latencies_ms)),
    "decode_tokens_per_second": decode_tokens_per_second,
    "end_to_end_tokens_per_second": lambda row: MILLISECONDS * row.new_tokens / row.end_to_end_ms,
    "prefill_tokens_per_second": lambda row: (
        MILLISECONDS * row.prompt_tokens / row.time_to_first_token_ms
    ),
    "end_to_end_ms": lambda row: row.end_to_end_ms,
}


def distribution(values: Sequence[float]) -> Distribution:
    """Return percentiles (linear interpolation), extremes and count."""
    p50, p95, p99 = (float(value) for value in np.percentile(values, [50, 95, 99]))
    return {
        "median": p50,
        "p50": p50,
        "p95": p95,
        "p99": p99 if len(values) >= FEWEST_FOR_P99 else None,
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def summarise(rows: Sequence[TokenTimes]) -> dict[str, Distribution]:
    """Return each metric's distribution; all gaps between tokens are pooled."""
    summary = {
        name: distribution([metric(row) for row in rows]) for name, metric in PER_GENERATION.items()
    }
    summary["inter_token_latency_ms"] = distribution(
        [gap for row in rows for gap in row.inter_token_latencies_ms]
    )
    return summary


def summarise_categories(
    rows: Sequence[TokenTimes],
) -> dict[str, dict[str, Distribution]]:
    """Return `summarise` for each category of prompts, in the order of the prompts."""
    categories = dict.fromkeys(row.category for row in rows)
    return {
        category: summarise([row for row in rows if row.category == category])
        for category in categories
    }


def ratio_table(
    base: Sequence[TokenTimes], variant: Sequence[TokenTimes], metric: Callable[[TokenTimes], float]
) -> Floats:
    """Return variant / base for each repeat and prompt, [repeats, prompts].

    Raises:
        MeasurementError: a generation of one side has no partner on the other, or its prompt is
            another one.
    """
    sides = [{(row.repeat, row.prompt_id): row for row in rows} for rows in (base, variant)]
    if sides[0].keys() != sides[1].keys():
        lonely = sorted(sides[0].keys() ^ sides[1].keys())[0]
        raise MeasurementError(
            f"token times: repeat {lonely[0]} of prompt {lonely[1]!r} was measured on one side only"
        )
    for key, row in sides[0].items():
        if row.prompt_sha256 != sides[1][key].prompt_sha256:
            raise MeasurementError(
                f"token times: prompt {key[1]!r} has other token ids for {sides[1][key].variant}"
            )
    repeats = sorted({repeat for repeat, _ in sides[0]})
    prompts = list(dict.fromkeys(prompt for _, prompt in sides[0]))
    return np.array(
        [
            [metric(sides[1][repeat, name]) / metric(sides[0][repeat, name]) for name in prompts]
            for repeat in repeats
        ]
    )


def ratios_to_base(
    base: Sequence[TokenTimes], again: Sequence[TokenTimes], variant: Sequence[TokenTimes]
) -> dict[str, RatioToBase]:
    """Return each metric's median ratio to the base and whether it is beyond noise."""
    ratios: dict[str, RatioToBase] = {}
    for name, metric in PER_GENERATION.items():
        estimate = median_estimate(ratio_table(base, variant, metric))
        control = median_estimate(ratio_table(base, again, metric))
        band = noise_band(control.interval or (control.value, control.value))
        ratios[name] = {
            "median": estimate.value,
            "interval": estimate.interval,
            "confidence": estimate.confidence,
            "n": estimate.n,
            "noise_band": band,
            "beyond_noise": is_beyond(estimate.interval, band),
            "method": estimate.method,
        }
    return ratios


def is_beyond(interval: Interval | None, band: Interval) -> bool:
    """Return whether an interval is wholly outside a band; no interval shows nothing."""
    return interval is not None and (interval[0] > band[1] or interval[1] < band[0])
