"""Read from the JSON files of other stages what a report needs, None where a stage did not write it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.files import read_json

MIB = 2**20


def read_optional(path: Path | None) -> dict[str, Any] | None:
    """Return a JSON object, None for a file that the run does not have."""
    return None if path is None else dict(read_json(path))


def validation_losses(train_metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return base_nll and adapter_nll (nats per answer token) and tokens of the held-out conversations."""
    exact = (train_metrics or {}).get("likelihood", {}).get("validation")
    if exact is None:
        return None
    base, adapter = exact["base"], exact["adapter"]
    return {
        "base_nll": base["nll_per_token"],
        "adapter_nll": adapter["nll_per_token"],
        "base_perplexity": base["perplexity"],
        "adapter_perplexity": adapter["perplexity"],
        "tokens": adapter["label_tokens"],
        "conversations": adapter.get("conversations"),
    }


def peak_memory_bytes(perf: Mapping[str, Any]) -> float | None:
    """Return the peak of generating, load apart: GPU memory allocated where there is a GPU, else resident memory."""
    memory = perf.get("memory") or {}
    for key in ("steady_peak_gpu_allocated_mib", "steady_peak_resident_mib"):
        if memory.get(key) is not None:
            return float(memory[key]) * MIB
    return None


def merge_check(merge_report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return largest_logit_difference, mean_logit_difference and greedy_agreement of lora against merged."""
    if merge_report is None:
        return None
    keys = ("largest_logit_difference", "mean_logit_difference", "greedy_agreement")
    return {key: merge_report.get(key) for key in keys}


def contaminated_items(contamination: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Return benchmark -> number of items that share a long n-gram with the training data."""
    if contamination is None:
        return None
    return {name: int(part["items_overlapping"]) for name, part in contamination["benchmarks"].items()}
