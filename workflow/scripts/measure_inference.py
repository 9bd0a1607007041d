"""Measure inference of all variants: checkpoints + performance prompts ->
results/{run}/perf/{variant}.json and .jsonl.

One job for all variants, because speeds compare only within one run on one machine: each variant
sits in a process of its own and they take turns. perf/{variant}.jsonl has the raw times
(`lorabench.documents.token_times`), base.jsonl those of the A/A control too; perf/{variant}.json
what follows from them. Files are written when everything is measured.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.files import write_json, write_jsonl
from lorabench.inference.machine_state import describe_machine
from lorabench.inference.measurement import (
    CONTROL,
    WARMUP_TOKENS,
    Checkpoints,
    Measurement,
    measure,
)
from lorabench.inference.settings import InferenceSettings, parse_settings, read_prompts
from lorabench.inference.summary import ratios_to_base, summarise, summarise_categories
from lorabench.job import run_job

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1


def measure_inference(
    *,
    base: Folder,
    adapter: Folder | None,
    merged: Folder | None,
    prompts: Path,
    summaries: Mapping[str, Path],
    times: Mapping[str, Path],
    settings: dict[str, Any],
    threads: int,
) -> None:
    """Measure the variants of `settings` and write a summary and raw times for each variant of
    `summaries`.

    Args:
        base, adapter, merged: checkpoint and adapter folders.
        prompts: JSON Lines of {id, category, prompt}.
        summaries, times: variant -> output file; a variant that is not measured gets status
            "not_run".
        settings: the config section.
        threads: CPU threads of a worker.

    Raises:
        LorabenchError: see `lorabench.inference`; nothing is written then.
    """
    parsed = parse_settings(settings)
    chosen = read_prompts(prompts, parsed.prompts)
    measurement = measure(
        parsed, chosen, Checkpoints(base=base, adapter=adapter, merged=merged), threads
    )
    values = {variant: summary(variant, parsed, measurement) for variant in summaries}
    for variant, path in times.items():
        arms = (variant, CONTROL) if variant == "base" else (variant,)
        write_jsonl(path, (asdict(row) for row in measurement.rows if row.variant in arms))
    for variant, path in summaries.items():
        write_json(path, values[variant])
        _log(values[variant])


def summary(variant: str, settings: InferenceSettings, measurement: Measurement) -> dict[str, Any]:
    """Return the content of perf/{variant}.json."""
    head = {"schema_version": SCHEMA_VERSION, "variant": variant}
    if variant not in settings.variants:
        return head | {"status": "not_run", "reason": "not among measure_inference.variants"}
    rows, base, control = (
        [row for row in measurement.rows if row.variant == arm]
        for arm in (variant, "base", CONTROL)
    )
    loaded = measurement.loaded[variant]
    # the base's ratios are the A/A control's
    compared = control if variant == "base" else rows
    ratios = ratios_to_base(base, control, compared) if base else None
    if variant == "merged" and ratios and ratios["decode_tokens_per_second"]["beyond_noise"]:
        logger.warning(
            "merged decodes at %.3f of the base's speed, beyond the noise; both compute the same,"
            " so distrust this run",
            ratios["decode_tokens_per_second"]["median"],
        )
    return head | {
        "status": "ok",
        "reason": None,
        "protocol": protocol(settings, measurement.resident),
        **{
            name: loaded[name]
            for name in ("dtype", "device", "gpu", "attention", "threads", "parameters")
        },
        "n_prompts": settings.prompts,
        "repeats": settings.repeats,
        "warmup": settings.warmup,
        "new_tokens": settings.new_tokens,
        "requires_grad": loaded["requires_grad"],
        "metrics": summarise(rows),
        "by_category": summarise_categories(rows),
        "ratios_to_base": ratios,
        "memory": measurement.memory[variant],
        "environment": {
            **describe_machine(),
            "torch": loaded["torch"],
            "transformers": loaded["transformers"],
            "load_average_before": measurement.load_average[0],
            "load_average_after": measurement.load_average[1],
            "gpu_before": measurement.gpu[0],
            "gpu_after": measurement.gpu[1],
            "resident": measurement.resident,
        },
    }


def protocol(settings: InferenceSettings, resident: str) -> str:
    """Return in one sentence how the figures were taken."""
    return (
        f"batch 1, greedy, {settings.new_tokens} new tokens for each of {settings.prompts} chat"
        f" prompts, end of turn suppressed, {settings.repeats} repeats after {settings.warmup}"
        f" warm-up rounds of {WARMUP_TOKENS} tokens, own decode loop with a key-value cache, one"
        f" process a variant, models resident {resident}, turns rotating"
    )


def _log(figures: dict[str, Any]) -> None:
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
    run_job(snakemake, measure_inference)
