"""Compare the variants: scores, item rows, speed -> results/{run}/compare.json.

Variants are compared on the same items, in pairs: lora and merged with base (did the adapter
help?), merged with lora (are they equal, as they should be?). Per benchmark: paired difference with
interval, McNemar's score test and flip table for right-or-wrong items, cluster bootstrap, Holm's
correction over the family, verdict. Speed: paired ratios to the base with the band of the base
against itself. At the end the three questions of a report are answered, with reasons; whether the
adapter may ship is the gate's answer.

Optional inputs: merge_report, train_metrics (None where missing); perf is empty where inference was
not measured.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorabench.documents.comparison import BenchmarkComparison, Comparison
from lorabench.documents.gate import gate_of
from lorabench.documents.item_result import ItemResult
from lorabench.documents.merge_report import MergeReport
from lorabench.documents.performance import Performance
from lorabench.documents.score import Score
from lorabench.documents.source import SourceRecord
from lorabench.documents.train_metrics import TrainMetrics
from lorabench.files import read_json, write_json
from lorabench.job import run_job
from lorabench.report.decisions import adapter_helps, may_ship
from lorabench.report.records import (
    merge_check,
    peak_memory_bytes,
    read_optional,
    validation_losses,
)
from lorabench.report.serving import cost_to_serve
from lorabench.scoring.agreement import greedy_agreement, largest_log_probability_difference
from lorabench.scoring.benchmark import scored_benchmark
from lorabench.scoring.comparison import add_verdicts, compare_benchmark
from lorabench.scoring.item_rows import read_item_results
from lorabench.scoring.settings import ComparisonSettings
from lorabench.scoring.speed_ratios import serving_ratios

# by variant
Rows = dict[str, list[ItemResult]]


def compare_variants(
    *,
    scores: Sequence[Path],
    rows: Sequence[Path],
    perf: Sequence[Path],
    merge_report: Path | None,
    train_metrics: Path | None,
    gate: Path,
    model_source: Path,
    conversations_source: Path,
    settings: dict[str, Any],
    compare: Path,
) -> None:
    """Write compare.json; `scores` and `rows` have one file a variant and benchmark each."""
    chosen = ComparisonSettings(**settings)
    documents: list[Score] = [read_json(path) for path in scores]
    confidence = next((score["confidence"] for score in documents if score["status"] == "ok"), 0.95)
    benchmarks, agreement = compare_items(documents, rows, confidence, chosen)
    family = add_verdicts({name: part["pairs"] for name, part in benchmarks.items()})
    model: SourceRecord = read_json(model_source)
    conversations: SourceRecord = read_json(conversations_source)
    losses: TrainMetrics | None = read_optional(train_metrics)
    merged: MergeReport | None = read_optional(merge_report)
    validation, merge = validation_losses(losses, confidence), merge_check(merged)
    measured: list[Performance] = [read_json(path) for path in perf]
    memory = {document["variant"]: peak_memory_bytes(document) for document in measured}
    serving = serving_ratios(measured)
    shipping = may_ship(gate_of(read_json(gate)), model["licence"], conversations["licence"])
    result: Comparison = {
        "schema_version": 2,
        "confidence": confidence,
        "settings": settings,
        "answers": {
            "adapter_helps": adapter_helps(benchmarks, validation),
            "cost_to_serve": cost_to_serve(serving, memory, measured),
            "may_ship": shipping,
        },
        "benchmarks": benchmarks,
        "holm": family,
        "merged_equals_lora": {"merge_check": merge, "items": agreement},
        "validation": validation,
        "serving": serving,
        "peak_memory_bytes": memory,
    }
    write_json(compare, result)


def compare_items(
    scores: Sequence[Score], rows: Sequence[Path], confidence: float, settings: ComparisonSettings
) -> tuple[dict[str, BenchmarkComparison], dict[str, Any]]:
    """Return contrasts, and item-level agreement of merged and lora, both by benchmark."""
    by_benchmark: dict[str, list[tuple[Score, Path]]] = {}
    for score, path in zip(scores, rows, strict=True):
        by_benchmark.setdefault(score["benchmark"], []).append((score, path))
    benchmarks: dict[str, BenchmarkComparison] = {}
    agreement = {}
    for name, parts in by_benchmark.items():
        done = [(score["variant"], path) for score, path in parts if score["status"] == "ok"]
        read = {variant: read_item_results(path) for variant, path in done}
        signal = all(score.get("carries_signal", True) for score, _ in parts)
        benchmarks[name] = {
            "unit": parts[0][0]["unit"],
            "reason": next((score["reason"] for score, _ in parts if score["reason"]), None),
            "carries_signal": signal,
            "pairs": compare_benchmark(scored_benchmark(name), read, signal, confidence, settings),
        }
        agreement[name] = merged_agreement(read)
    return benchmarks, agreement


def merged_agreement(rows: Rows) -> dict[str, Any] | None:
    """Return item-level agreement of merged and lora, None where one of them was not evaluated."""
    if not {"lora", "merged"} <= set(rows):
        return None
    return {
        "greedy_texts": greedy_agreement(rows["lora"], rows["merged"]),
        "log_probabilities": largest_log_probability_difference(rows["lora"], rows["merged"]),
    }


if __name__ == "__main__":
    run_job(snakemake, compare_variants)
