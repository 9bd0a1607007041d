"""Measure inference of all variants: checkpoints, prompts -> raw figures in results/{run}/perf.

One job for all variants, because speeds compare only within one run on one machine: each variant
has its own process and they take turns. {variant}.jsonl has the raw times of one user
(`lorabench.documents.token_times`), base.jsonl those of the A/A control too; raw/load.jsonl has the
requests under load (`lorabench.documents.load_request`), raw/conditions.json how and on what all of
it was measured. What follows from them is the rule summarise_inference's. Files are written when
everything is measured.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.documents.inference_conditions import InferenceConditions
from lorabench.files import write_json, write_jsonl
from lorabench.inference.machine_state import describe_machine
from lorabench.inference.measurement import WARMUP_TOKENS, Checkpoints, Measurement, measure
from lorabench.inference.settings import InferenceSettings, parse_settings, read_prompts
from lorabench.inference.turns import CONTROL
from lorabench.job import run_job

logger = logging.getLogger(__name__)

LOADED_KEYS = ("dtype", "device", "gpu", "attention", "threads", "parameters", "requires_grad")


def measure_inference(
    *,
    base: Folder,
    adapter: Folder | None,
    merged: Folder | None,
    prompts: Path,
    times: Mapping[str, Path],
    load: Path,
    conditions: Path,
    settings: dict[str, Any],
    threads: int,
) -> None:
    """Measure the variants of `settings`.

    Args:
        base, adapter, merged: checkpoint and adapter folders.
        times: variant -> file of its generations; empty for a variant that is not measured.
        settings: the config section, without what only the summary needs.
        threads: CPU threads of a worker.

    Raises:
        LorabenchError: see `lorabench.inference`; nothing is written then.
    """
    parsed = parse_settings(settings)
    chosen = read_prompts(prompts, parsed.prompts)
    measurement = measure(
        parsed, chosen, Checkpoints(base=base, adapter=adapter, merged=merged), threads
    )
    for variant, path in times.items():
        arms = (variant, CONTROL) if variant == "base" else (variant,)
        write_jsonl(path, (asdict(row) for row in measurement.rows if row.variant in arms))
    write_jsonl(load, map(asdict, measurement.load))
    write_json(conditions, describe(parsed, measurement))


def describe(settings: InferenceSettings, measurement: Measurement) -> InferenceConditions:
    """Return the content of raw/conditions.json."""
    first = measurement.loaded[settings.variants[0]]
    return {
        "schema_version": 1,
        "variants": {name: _describe_variant(name, measurement) for name in settings.variants},
        "n_prompts": settings.prompts,
        "repeats": settings.repeats,
        "warmup": settings.warmup,
        "warmup_tokens": WARMUP_TOKENS,
        "new_tokens": settings.new_tokens,
        "load": settings.load.model_dump(),
        "load_skipped": measurement.load_skipped,
        "servers": measurement.servers,
        "copy_bandwidth_bytes_per_second": measurement.copy_bandwidth,
        "environment": {
            **describe_machine(),
            "torch": first["torch"],
            "transformers": first["transformers"],
            "load_average_before": measurement.load_average[0],
            "load_average_after": measurement.load_average[1],
            "gpu_before": measurement.gpu[0],
            "gpu_after": measurement.gpu[1],
            "resident": measurement.resident,
        },
    }


def _describe_variant(variant: str, measurement: Measurement) -> dict[str, Any]:
    loaded = measurement.loaded[variant]
    return {
        **{name: loaded[name] for name in LOADED_KEYS},
        "parameters_mib": loaded["parameters_mib"],
        "longest_prompt_tokens": max(loaded["prompt_tokens"]),
        "memory": measurement.memory[variant],
        "step": measurement.step[variant],
    }


if __name__ == "__main__":
    run_job(snakemake, measure_inference)
