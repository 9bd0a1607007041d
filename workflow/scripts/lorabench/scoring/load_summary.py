"""What requests under load show: throughput, latencies, users served within limits.

Time per output token is that of one request: (end to end - time to first token) / (tokens - 1).
Limits are MLPerf Inference's: both times of a request must be within them; a level of load passes
where 99 % of all its requests do, failed ones counted as too late. Ratios to the base pair the same
request of the same repeat and level.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lorabench.documents.load_request import LoadRequest
from lorabench.documents.performance import Level, LoadFigures, LoadRatio, WithinLimit
from lorabench.scoring.crossed_median import complete_table, median_estimate, noise_band
from lorabench.scoring.inference_summary import MILLISECONDS, distribution, is_beyond
from lorabench.uncertainty import Floats

# of all requests, for a level to pass
SHARE_WITHIN = 0.99
Rows = Sequence[LoadRequest]


def time_per_output_token_ms(row: LoadRequest) -> float:
    """Return the mean time of a token after the first; NaN for an answer of one token."""
    assert row.end_to_end_ms and row.time_to_first_token_ms and row.output_tokens
    if row.output_tokens < 2:
        return float("nan")
    return (row.end_to_end_ms - row.time_to_first_token_ms) / (row.output_tokens - 1)


def user_tokens_per_second(row: LoadRequest) -> float:
    """Return the tokens a second that one user sees, waiting included."""
    assert row.end_to_end_ms and row.output_tokens
    return MILLISECONDS * row.output_tokens / row.end_to_end_ms


def summarise_load(
    rows: Rows, engine: str, variant: str, control: str, limits: Sequence[Mapping[str, Any]]
) -> list[Level]:
    """Return one summary a level of load of a variant, in order of concurrency.

    Args:
        rows: all requests of all arms.
        engine: "own" or "server".
        variant: base, lora or merged.
        control: name of the base's second arm.
        limits: name, time_to_first_token_ms, time_per_output_token_ms.
    """
    of_engine = [row for row in rows if row.engine == engine]
    levels: list[Level] = []
    for concurrency in sorted({row.concurrency for row in of_engine if row.variant == variant}):
        level = [row for row in of_engine if row.concurrency == concurrency]
        own, base, again = (
            [row for row in level if row.variant == arm] for arm in (variant, "base", control)
        )
        levels.append(
            {
                "concurrency": concurrency,
                **_figures(own, concurrency),
                "within_limits": [_within(own, limit) for limit in limits],
                # the base's is the A/A control's
                "ratio_to_base": load_ratio(base, again, again if variant == "base" else own),
            }
        )
    return levels


def _figures(rows: Rows, concurrency: int) -> LoadFigures:
    answered = _answered(rows)
    if not answered:
        return {"requests": len(rows), "failed": len(rows), "output_tokens_per_second": None}
    several = [row for row in answered if (row.output_tokens or 0) > 1]
    estimate = median_estimate(concurrency * _by_request(answered))
    return {
        "requests": len(rows),
        "failed": len(rows) - len(answered),
        "reasons": sorted({row.reason for row in rows if row.reason}),
        "tokens_from": sorted({row.tokens_from for row in answered if row.tokens_from}),
        "output_tokens_per_second": throughput(answered),
        "output_tokens_per_second_interval": estimate.interval,
        "time_to_first_token_ms": distribution(
            [float(row.time_to_first_token_ms or 0.0) for row in answered]
        ),
        "time_per_output_token_ms": (
            distribution([time_per_output_token_ms(row) for row in several]) if several else None
        ),
        "end_to_end_ms": distribution([float(row.end_to_end_ms or 0.0) for row in answered]),
    }


def _by_request(rows: Rows) -> Floats:
    """Return a user's tokens a second [repeats, requests answered in every repeat].

    One row of all requests where no request was answered in every repeat.
    """
    values = {(row.repeat, row.number): user_tokens_per_second(row) for row in rows}
    table = complete_table(values)
    return table if table.size else np.array([list(values.values())])


def _answered(rows: Rows) -> list[LoadRequest]:
    return [row for row in rows if row.status == "ok"]


def throughput(rows: Rows) -> float:
    """Return output tokens a second over all repeats."""
    tokens = sum(row.output_tokens or 0 for row in rows)
    return MILLISECONDS * tokens / _milliseconds(rows)


def _milliseconds(rows: Rows) -> float:
    """Return the time that the repeats of a level took together."""
    return sum(
        max(row.sent_ms + (row.end_to_end_ms or 0.0) for row in rows if row.repeat == repeat)
        - min(row.sent_ms for row in rows if row.repeat == repeat)
        for repeat in {row.repeat for row in rows}
    )


def _within(rows: Rows, limit: Mapping[str, Any]) -> WithinLimit:
    """Return how many requests met both limits, and the rate of those that did (goodput)."""
    answered = _answered(rows)
    good = [
        row
        for row in answered
        if (row.time_to_first_token_ms or 0.0) <= limit["time_to_first_token_ms"]
        and (
            (row.output_tokens or 0) < 2
            or time_per_output_token_ms(row) <= limit["time_per_output_token_ms"]
        )
    ]
    share = len(good) / len(rows)
    return {
        "name": limit["name"],
        "share": share,
        "passed": share >= SHARE_WITHIN,
        "goodput_requests_per_second": (
            MILLISECONDS * len(good) / _milliseconds(answered) if answered else 0.0
        ),
    }


def load_ratio(base: Rows, again: Rows, variant: Rows) -> LoadRatio | None:
    """Return the ratio to the base in a user's tokens a second, None without common requests."""
    table = _paired(base, variant)
    if table is None:
        return None
    estimate = median_estimate(table)
    controlled = _paired(base, again)
    band = None
    if controlled is not None:
        control = median_estimate(controlled)
        band = noise_band(control.interval or (control.value, control.value))
    return {
        "median": estimate.value,
        "interval": estimate.interval,
        "n": estimate.n,
        "noise_band": band,
        "beyond_noise": band is not None and is_beyond(estimate.interval, band),
    }


def _paired(base: Rows, variant: Rows) -> Floats | None:
    """Return variant / base in tokens a second [repeats, requests answered in every one]."""
    sides = [
        {
            (row.repeat, row.number): user_tokens_per_second(row)
            for row in rows
            if row.status == "ok"
        }
        for rows in (base, variant)
    ]
    shared = sides[0].keys() & sides[1].keys()
    table = complete_table({key: sides[1][key] / sides[0][key] for key in sorted(shared)})
    return table if table.size else None


def most_users(levels: Sequence[Level], name: str) -> Level | None:
    """Return the highest level that passes, with every lower one, None without one."""
    best = None
    for level in levels:
        passed = next(one["passed"] for one in level["within_limits"] if one["name"] == name)
        if not passed:
            break
        best = level
    return best
