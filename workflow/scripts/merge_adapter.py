"""Merge the adapter into the base: adapter -> a whole checkpoint in results/{run}/merged/.

Base and adapter are added in float32 and cast once. Every merged weight is compared with W +
scaling B A, computed from the two files without the library that loads adapters. merge_report.json
says how far they are apart, and how far the merged model's logits are from those of base + adapter,
on prompts of the validation set: in float32, where only rounding may differ, and again as the
checkpoint was saved. The rule fails when weights differ by more than rounding, or logits in float32
by more than `max_logit_difference`.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from lorabench.chat import render_chat
from lorabench.documents.merge_report import MergeReport
from lorabench.errors import MeasurementError
from lorabench.files import read_json, read_jsonl, sha256_file, write_json
from lorabench.job import run_job
from lorabench.llama import load_tokenizer, resolve_dtype
from lorabench.staging import staging_folder
from lorabench.training.adapter.arithmetic import WeightCheck, check_saved, check_weights
from lorabench.training.adapter.check import base_shapes
from lorabench.training.adapter.merge import (
    LogitDifference,
    add_turn_end,
    attach,
    compare_logits,
    load,
    logits,
    merge,
    merge_device,
    save_merged,
)
from lorabench.training.settings import MergeSettings

# by this name its warnings reach the terminal, too
logger = logging.getLogger("lorabench.merge_adapter")

# conversations
CHECK_PROMPTS = 8
# of each conversation's beginning
CHECK_TOKENS = 128


def merge_adapter(
    *, model: Path, adapter: Path, conversations: Path, report: Path, settings: dict[str, Any]
) -> None:
    """Merge, check and write the checkpoint.

    Args:
        model: source.json next to the base model's checkpoint.
        adapter: the adapter's fingerprint.json, in its folder.
        conversations: check prompts, JSON Lines of conversations.
        report: merge_report.json; the checkpoint is written next to it.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not what the key takes.
        MeasurementError: the merged weights are not W + scaling B A of the files, the adapter
            changes no logit, or the merged model's logits differ from those of base + adapter by
            more than `max_logit_difference`.
    """
    chosen = MergeSettings.parse_section(settings, "merge_adapter")
    base_folder, dtype = model.parent, resolve_dtype(chosen.dtype)
    prompts = check_prompts(base_folder, conversations)
    place = merge_device(
        sum(torch.Size(shape).numel() for shape in base_shapes(base_folder).values())
    )
    base = load(base_folder, torch.float32, place)
    base_logits = logits(base, prompts)
    apart = attach(base, adapter.parent, torch.float32)
    apart_logits = logits(apart, prompts)
    effect = compare_logits(base_logits, apart_logits)
    together = merge(apart)
    weights = check_weights(together, base_folder, adapter.parent, place)
    check_effect(adapter.parent, weights, effect)
    exact = compare_logits(apart_logits, logits(together, prompts))
    limit = chosen.max_logit_difference
    if not exact.largest <= limit:
        raise MeasurementError(
            f"{adapter.parent}: merged and unmerged logits differ by up to {exact.largest:.3g} in"
            f" float32, expected at most merge_adapter.max_logit_difference = {limit}: the adapter"
            " is not one of this base model, or raise it"
        )
    with staging_folder(report) as staging:
        save_merged(together, dtype, staging, base_folder, chosen.max_shard_size)
        check_saved(together, staging)
        add_turn_end(staging, load_tokenizer(base_folder))
        sha256 = {path.name: sha256_file(path) for path in sorted(staging.iterdir())}
        del base, apart, together
        saved_logits = logits(load(staging, dtype, place), prompts)
        apart_saved = logits(
            attach(load(base_folder, dtype, place), adapter.parent, dtype), prompts
        )
        document: MergeReport = {
            "schema_version": 1,
            "sha256": sha256,
            "adapter": read_json(adapter)["sha256"],
            "base": read_json(model)["sha256"],
            "dtype": str(dtype).removeprefix("torch."),
            "prompts": len(prompts),
            "max_logit_difference": limit,
            "weights": weights.as_json(),
            "adapter_effect": effect.as_json(),
            "float32": exact.as_json(),
            "as_saved": compare_logits(apart_saved, saved_logits).as_json(),
            "as_saved_against_float32": compare_logits(apart_logits, saved_logits).as_json(),
        }
        write_json(staging / report.name, document)


def check_effect(adapter: Path, weights: WeightCheck, effect: LogitDifference) -> None:
    """Compare what the adapter does to weights with what it does to logits.

    Raises:
        MeasurementError: it changes weights and no logit.
    """
    if weights.max_abs_update == 0:
        logger.warning("%s: the adapter changes no weight: B A is zero everywhere", adapter)
    elif effect.largest == 0:
        raise MeasurementError(
            f"{adapter}: the adapter changes weights by up to {weights.max_abs_update:.3g}, but no"
            " logit of the check prompts: it was not loaded"
        )


def check_prompts(base: Path, conversations: Path) -> list[list[int]]:
    """Return the token ids of the beginnings of the first conversations."""
    tokenizer = load_tokenizer(base)
    rows = [
        row
        for _, row in zip(
            range(CHECK_PROMPTS), (row for _, row in read_jsonl(conversations)), strict=False
        )
    ]
    texts = [render_chat(tokenizer, row["messages"], prompt=False) for row in rows]
    return [tokenizer.encode(text, add_special_tokens=False)[:CHECK_TOKENS] for text in texts]


if __name__ == "__main__":
    run_job(snakemake, merge_adapter)
