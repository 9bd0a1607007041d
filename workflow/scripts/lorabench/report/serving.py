"""Speed of the variants relative to the base, paired by prompt and repeat, against what the base differs from itself.

Metrics (one value a prompt and repeat, batch 1, greedy, a fixed number of tokens):
    time_to_first_token_ms      from the call to the first generated token
    decode_tokens_per_second    (new_tokens - 1) / (end_to_end - time_to_first_token)
    end_to_end_ms               from the call to the last token
A ratio is the median of the paired ratios with a bootstrap interval over repeats and prompts. The A/A band is that
interval for the base measured a second time under the same conditions, widened to include 1: what lies inside is noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.rows.token_times import TokenTimes
from lorabench.uncertainty import Floats, bootstrap_median

CONTROL = "base_again"
NAMES = frozenset(field.name for field in fields(TokenTimes))


def decode_tokens_per_second(row: TokenTimes) -> float:
    """Return the rate after the first token.

    Raises:
        DataError: fewer than two tokens were generated, or the times do not add up.
    """
    decode_ms = row.end_to_end_ms - row.time_to_first_token_ms
    if row.new_tokens < 2 or decode_ms <= 0:
        raise DataError(
            f"times of {row.variant}, prompt {row.prompt_id}: expected 2 tokens or more and a decode time > 0"
        )
    return 1000 * (row.new_tokens - 1) / decode_ms


METRICS: dict[str, Callable[[TokenTimes], float]] = {
    "time_to_first_token_ms": lambda row: row.time_to_first_token_ms,
    "decode_tokens_per_second": decode_tokens_per_second,
    "end_to_end_ms": lambda row: row.end_to_end_ms,
}
HIGHER_IS_BETTER = frozenset({"decode_tokens_per_second"})


def read_times(paths: Sequence[Path]) -> dict[str, list[TokenTimes]]:
    """Return the rows of all files by variant.

    Raises:
        DataError: a row lacks a field of TokenTimes or has one that it does not know.
    """
    times: dict[str, list[TokenTimes]] = {}
    for path in paths:
        for number, row in read_jsonl(path):
            if set(row) != NAMES:
                raise DataError(f"{path}:{number}: expected the fields {sorted(NAMES)}, found {sorted(row)}")
            times.setdefault(row["variant"], []).append(TokenTimes(**row))
    return times


def serving_ratios(
    times: Mapping[str, Sequence[TokenTimes]], confidence: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Return medians, ratios to the base with intervals and the A/A band for each metric.

    Raises:
        DataError: the variants did not run the same prompts and repeats on the same token ids.
    """
    report: dict[str, Any] = {}
    for name, metric in METRICS.items():
        tables = {variant: _table(rows, metric, times["base"]) for variant, rows in times.items()}
        ratios = {
            variant: _ratio(table / tables["base"], confidence, resamples, seed)
            for variant, table in tables.items()
            if variant != "base"
        }
        control = ratios.pop(CONTROL, None)
        band = _band(control)
        for ratio in ratios.values():
            ratio["verdict"] = _verdict(ratio, band, name in HIGHER_IS_BETTER)
        medians = {variant: float(np.median(table)) for variant, table in tables.items() if variant != CONTROL}
        report[name] = {"median": medians, "ratio_to_base": ratios, "a_a_control": control, "a_a_band": band}
    return report


def _table(rows: Sequence[TokenTimes], metric: Callable[[TokenTimes], float], base: Sequence[TokenTimes]) -> Floats:
    """Return the metric as [repeats, prompts], rows and columns in the base's order."""
    repeats = sorted({row.repeat for row in base})
    prompts = list(dict.fromkeys((row.prompt_id, row.prompt_sha256, row.new_tokens) for row in base))
    values = {(row.repeat, (row.prompt_id, row.prompt_sha256, row.new_tokens)): metric(row) for row in rows}
    expected = {(repeat, prompt) for repeat in repeats for prompt in prompts}
    if set(values) != expected or len(rows) != len(expected):
        raise DataError(
            f"times of {rows[0].variant}: expected the base's {len(expected)} pairs of repeat and prompt (same token "
            f"ids, same length) once each, found {len(rows)} rows and {len(set(values) & expected)} that pair"
        )
    return np.array([[values[repeat, prompt] for prompt in prompts] for repeat in repeats], dtype=np.float64)


def _ratio(table: Floats, confidence: float, resamples: int, seed: int) -> dict[str, Any]:
    estimate = bootstrap_median(table, confidence, resamples, seed)
    interval = list(estimate.interval) if estimate.interval else None
    return {"ratio": estimate.value, "interval": interval, "n": estimate.n, "repeats": estimate.clusters}


def _band(control: Mapping[str, Any] | None) -> list[float] | None:
    if control is None or control["interval"] is None:
        return None
    low, high = control["interval"]
    return [min(low, 1.0), max(high, 1.0)]


def _verdict(ratio: Mapping[str, Any], band: list[float] | None, higher_is_better: bool) -> str:
    """Return "faster" or "slower" where the interval lies wholly outside the band (without one: 1)."""
    if ratio["interval"] is None:
        return "no difference detectable"
    low, high = band or [1.0, 1.0]
    if ratio["interval"][0] <= high and ratio["interval"][1] >= low:
        return "no difference detectable"
    return "faster" if (ratio["interval"][0] > high) == higher_is_better else "slower"
