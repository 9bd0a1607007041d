"""Summarise the measured inference: raw times -> results/{run}/perf/{variant}.json.

Nothing is timed here, so that another percentile, limit or price costs seconds.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lorabench.documents.inference_conditions import InferenceConditions
from lorabench.documents.load_request import LoadRequest
from lorabench.documents.performance import Load, Performance, PerformanceHead, RatioToBase
from lorabench.documents.token_times import TokenTimes
from lorabench.files import read_json, read_jsonl, write_json
from lorabench.job import run_job
from lorabench.scoring.inference_summary import ratios_to_base, summarise, summarise_categories
from lorabench.scoring.load_summary import summarise_load
from lorabench.scoring.serving_cost import single_stream, stream_memory, users_and_cost
from lorabench.scoring.speed_ratios import read_times

logger = logging.getLogger(__name__)

CONTROL = "base_again"
ENGINES: tuple[Literal["own", "server"], ...] = ("own", "server")


def summarise_inference(
    *,
    times: Mapping[str, Path],
    load: Path,
    conditions: Path,
    summaries: Mapping[str, Path],
    settings: dict[str, Any],
) -> None:
    """Write one summary a variant.

    Args:
        times: variant -> file of its generations; base's has the control, too.
        summaries: variant -> output file; a variant that was not measured gets status "not_run".
        settings: usd_per_gpu_hour and limits of the config section.
    """
    rows = read_times(list(times.values()))
    requests = [LoadRequest(**row) for _, row in read_jsonl(load)]
    known: InferenceConditions = read_json(conditions)
    for variant, path in summaries.items():
        document = summary(variant, rows, requests, known, settings)
        write_json(path, document)
        _log(document)


def summary(
    variant: str,
    times: Mapping[str, list[TokenTimes]],
    requests: list[LoadRequest],
    conditions: InferenceConditions,
    settings: Mapping[str, Any],
) -> Performance:
    """Return the content of perf/{variant}.json."""
    head: PerformanceHead = {"schema_version": 1, "variant": variant}
    if variant not in conditions["variants"]:
        reason = "not among measure_inference.variants"
        return {**head, "status": "not_run", "reason": reason}
    rows, base, control = (times.get(arm, []) for arm in (variant, "base", CONTROL))
    own = conditions["variants"][variant]
    # the base's ratios are the A/A control's
    ratios = ratios_to_base(base, control, control if variant == "base" else rows) if base else None
    _distrust(variant, ratios)
    gpu = own["gpu"] is not None
    bandwidth = conditions["copy_bandwidth_bytes_per_second"]
    longest = own["longest_prompt_tokens"] + conditions["new_tokens"]
    return {
        **head,
        "status": "ok",
        "reason": None,
        "protocol": protocol(conditions, own["step"], gpu=gpu),
        "dtype": own["dtype"],
        "device": own["device"],
        "gpu": own["gpu"],
        "attention": own["attention"],
        "threads": own["threads"],
        "parameters": own["parameters"],
        "requires_grad": own["requires_grad"],
        "n_prompts": conditions["n_prompts"],
        "repeats": conditions["repeats"],
        "warmup": conditions["warmup"],
        "new_tokens": conditions["new_tokens"],
        "metrics": summarise(rows),
        "by_category": summarise_categories(rows),
        "ratios_to_base": ratios,
        "memory": own["memory"],
        "single_stream": single_stream(rows, own["step"], bandwidth, gpu),
        "memory_per_stream": stream_memory(
            own["step"], own["memory"], own["parameters_mib"], longest
        ),
        "load": load_part(variant, requests, conditions, settings),
        "environment": conditions["environment"],
    }


def load_part(
    variant: str,
    requests: list[LoadRequest],
    conditions: InferenceConditions,
    settings: Mapping[str, Any],
) -> Load:
    """Return levels of load, users within limits and their cost, for each engine measured."""
    part: Load = {"own": None, "server": None}
    for engine in ENGINES:
        levels = summarise_load(requests, engine, variant, CONTROL, settings["limits"])
        part[engine] = (
            {
                "levels": levels,
                "limits": users_and_cost(levels, settings["limits"], settings["usd_per_gpu_hour"]),
                "skipped": [
                    {"concurrency": one["concurrency"], "reason": one["reason"]}
                    for one in conditions["load_skipped"]
                    if (one["engine"], one["variant"]) == (engine, variant)
                ],
                "endpoint": conditions["servers"].get(variant) if engine == "server" else None,
            }
            if levels
            else None
        )
    return part


def protocol(conditions: InferenceConditions, step: Mapping[str, Any], *, gpu: bool) -> str:
    """Return in one sentence how the figures of one user were taken."""
    launched = (
        ""
        if not gpu
        else (
            ", passes replayed as CUDA graphs"
            if step["captured"]
            else ", passes launched from Python"
        )
    )
    return (
        f"batch 1, greedy, {conditions['new_tokens']} new tokens for each of"
        f" {conditions['n_prompts']} chat prompts, end of turn suppressed,"
        f" {conditions['repeats']} repeats after {conditions['warmup']} warm-up rounds of"
        f" {conditions['warmup_tokens']} tokens, own decoder with fixed places for keys and"
        f" values{launched}, one process a variant, models resident"
        f" {conditions['environment']['resident']}, turns rotating"
    )


def _distrust(variant: str, ratios: Mapping[str, RatioToBase] | None) -> None:
    if variant == "merged" and ratios and ratios["decode_tokens_per_second"]["beyond_noise"]:
        logger.warning(
            "merged decodes at %.3f of the base's speed, beyond the noise; both compute the same,"
            " so distrust this run",
            ratios["decode_tokens_per_second"]["median"],
        )


def _log(figures: Performance) -> None:
    if figures["status"] != "ok":
        logger.info("%s: not measured, %s", figures["variant"], figures["reason"])
        return
    metrics = figures["metrics"]
    logger.info(
        "%s: first token %.0f ms, %.1f tokens/s after it",
        figures["variant"],
        metrics["time_to_first_token_ms"]["median"],
        metrics["decode_tokens_per_second"]["median"],
    )


if __name__ == "__main__":
    run_job(snakemake, summarise_inference)
