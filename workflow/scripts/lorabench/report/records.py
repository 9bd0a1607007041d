"""Take what a report needs from the JSON files of other stages."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorabench.documents.answer import Answer
from lorabench.documents.comparison import HeldOutLoss
from lorabench.documents.contamination import Contamination
from lorabench.documents.merge_report import MergeCheck, MergeReport
from lorabench.documents.performance import Performance
from lorabench.documents.run_config import RunConfig
from lorabench.documents.source import SourceRecord
from lorabench.documents.summary import DataSummary
from lorabench.documents.train_metrics import TrainMetrics
from lorabench.files import read_json, read_jsonl
from lorabench.scoring.held_out import held_out_conversations, loss_change, recorded_training

MIB = 2**20
# share of a split's conversations
WORTH_A_WORD = 0.05


def read_optional(path: Path | None) -> Any:
    """Return a JSON object, None for a file that the run does not have."""
    return None if path is None else read_json(path)


def read_answers(paths: Sequence[Path]) -> dict[str, dict[str, list[Answer]]]:
    """Return benchmark -> variant -> answers of answers/{variant}/{benchmark}.jsonl."""
    answers: dict[str, dict[str, list[Answer]]] = {}
    for path in paths:
        read = [Answer(**row) for _, row in read_jsonl(path)]
        answers.setdefault(path.stem, {})[path.parent.name] = read
    return answers


def from_open_assistant(source: SourceRecord) -> bool:
    """Return whether a source is OpenAssistant's data or made of it, by its name."""
    return re.search(r"oasst|open[-_ ]?assistant", str(source["origin"]), re.IGNORECASE) is not None


def validation_losses(train_metrics: TrainMetrics | None, confidence: float) -> HeldOutLoss | None:
    """Return the held-out losses of base and adapter, and what their change shows.

    The interval is None where the record has no losses by conversation; nothing is shown then.
    """
    trained = recorded_training(train_metrics)
    if trained is None:
        return None
    exact = trained["likelihood"]["validation"]
    base, adapter = exact["base"], exact["adapter"]
    conversations = held_out_conversations(trained)
    change = loss_change(conversations, confidence) if conversations else None
    interval = change.interval if change else None
    word = "not shown: no interval"
    if interval:
        word = "lower" if interval[1] < 0 else "higher" if interval[0] > 0 else "no change shown"
    return {
        "word": word,
        "base_nll": base["nll_per_token"],
        "adapter_nll": adapter["nll_per_token"],
        "interval": list(interval) if interval else None,
        "base_perplexity": base["perplexity"],
        "adapter_perplexity": adapter["perplexity"],
        "tokens": adapter["label_tokens"],
        "conversations": adapter.get("conversations"),
    }


def peak_memory_bytes(perf: Performance) -> float | None:
    """Return the peak memory of generating: allocated on the GPU, else resident."""
    if perf["status"] == "ok":
        for key in ("steady_peak_gpu_allocated_mib", "steady_peak_resident_mib"):
            peak = perf["memory"].get(key)
            if peak is not None:
                return peak * MIB
    return None


def merge_check(merge_report: MergeReport | None) -> MergeCheck | None:
    """Return how far apart merged and unmerged logits are."""
    if merge_report is None:
        return None
    return {
        "dtype": merge_report["dtype"],
        "prompts": merge_report["prompts"],
        "max_logit_difference": merge_report["max_logit_difference"],
        "float32": merge_report["float32"],
        "as_saved": merge_report["as_saved"],
    }


def remarks(
    data_summary: DataSummary | None,
    train_metrics: TrainMetrics | None,
    run_config: RunConfig | None,
) -> list[str]:
    """Return what was lost or differs on the way to the adapter, as sentences."""
    sentences = list(run_config.get("remarks", ())) if run_config else []
    sentences += data_summary.get("remarks", ()) if data_summary else ()
    trained = recorded_training(train_metrics)
    counts = trained.get("data", {}) if trained else {}
    for split in ("train", "validation"):
        kept = counts.get(f"{split}_conversations") or 0
        cut = counts.get(f"{split}_truncated_conversations") or 0
        dropped = counts.get(f"{split}_dropped_without_labels") or 0
        if cut > WORTH_A_WORD * kept:
            sentences.append(
                f"{cut} of {kept} {split} conversations ({cut / kept:.0%}) were cut at"
                f" max_seq_length; they lost {counts[f'{split}_cut_tokens']:,} tokens."
            )
        if dropped > WORTH_A_WORD * (kept + dropped):
            sentences.append(
                f"{dropped} of {kept + dropped} {split} conversations were left out: no answer"
                " begins within max_seq_length."
            )
    return sentences


def overlapping_items(
    contamination: Contamination | None,
) -> dict[str, dict[str, dict[str, int]]] | None:
    """Return benchmark -> n-gram length -> number of items, comparable and overlapping ones."""
    if contamination is None:
        return None
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for name, part in contamination["benchmarks"].items():
        for words, found in part["by_ngram_words"].items():
            counted = {"items": part["items"], "comparable": found["comparable"]}
            counted["overlapping"] = len(found["overlapping"])
            counts.setdefault(name, {})[words] = counted
    return counts
