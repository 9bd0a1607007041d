"""Speed of the variants: raw token times, and measured ratios to the base.

A ratio is the median over prompts and repeats of variant / base with its interval; the noise band
is what the base shows against itself (A/A), widened to include 1. Both are taken from
perf/{variant}.json, where they are defined.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from lorabench.documents.comparison import ServingMetric, SpeedRatio, SpeedVerdict
from lorabench.documents.performance import Performance, RatioToBase
from lorabench.documents.token_times import TokenTimes
from lorabench.errors import DataError
from lorabench.files import read_jsonl

NAMES = frozenset(field.name for field in fields(TokenTimes))
METRICS = ("time_to_first_token_ms", "decode_tokens_per_second", "end_to_end_ms")
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
                raise DataError(
                    f"{path}:{number}: expected the fields {sorted(NAMES)}, found {sorted(row)}"
                )
            times.setdefault(row["variant"], []).append(TokenTimes(**row))
    return times


def serving_ratios(perf: Sequence[Performance]) -> dict[str, ServingMetric] | None:
    """Return metric -> median by variant, ratios and noise, None where nothing was measured.

    Args:
        perf: contents of perf/{variant}.json.
    """
    measured = {document["variant"]: document for document in perf if document["status"] == "ok"}
    if not measured:
        return None
    report: dict[str, ServingMetric] = {}
    for metric in METRICS:
        ratios = {
            variant: document["ratios_to_base"][metric]
            for variant, document in measured.items()
            if document["ratios_to_base"]
        }
        control = ratios.pop("base", None)
        report[metric] = {
            "median": {
                variant: document["metrics"][metric]["median"]
                for variant, document in measured.items()
            },
            "ratio_to_base": {variant: _ratio(metric, ratio) for variant, ratio in ratios.items()},
            "noise_band": control["noise_band"] if control else None,
        }
    return report


def _ratio(metric: str, ratio: RatioToBase) -> SpeedRatio:
    faster = (ratio["median"] > 1) == (metric in HIGHER_IS_BETTER)
    verdict: SpeedVerdict = (
        ("faster" if faster else "slower") if ratio["beyond_noise"] else "no difference detectable"
    )
    return {
        "ratio": ratio["median"],
        "interval": ratio["interval"],
        "n": ratio["n"],
        "verdict": verdict,
    }
