"""Read from the JSON files of other stages what a report needs, None where a stage did not write
it."""

import re
from pathlib import Path
from typing import Any

from lorabench.documents.comparison import HeldOutLoss
from lorabench.documents.contamination import Contamination
from lorabench.documents.merge_report import MergeReport
from lorabench.documents.performance import Performance
from lorabench.documents.run_config import RunConfig
from lorabench.documents.source import SourceRecord
from lorabench.documents.summary import DataSummary
from lorabench.documents.train_metrics import TrainMetrics
from lorabench.files import read_json
from lorabench.scoring.held_out import held_out_conversations, loss_change, recorded_training

MIB = 2**20
# share of a split's conversations
WORTH_A_WORD = 0.05


def read_optional(path: Path | None) -> Any:
    """Return a JSON object, None for a file that the run does not have."""
    return None if path is None else read_json(path)


def from_open_assistant(source: SourceRecord) -> bool:
    """Return whether the name of a source means OpenAssistant's data: OpenAssistant/oasst1,
    openassistant-guanaco."""
    return re.search(r"oasst|open[-_ ]?assistant", str(source["origin"]), re.IGNORECASE) is not None


def validation_losses(train_metrics: TrainMetrics | None, confidence: float) -> HeldOutLoss | None:
    """Return base_nll and adapter_nll (nats per answer token) of the held-out conversations, the
    interval of their change and what it shows as a word.

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
    return {
        "word": _change_word(interval),
        "base_nll": base["nll_per_token"],
        "adapter_nll": adapter["nll_per_token"],
        "interval": list(interval) if interval else None,
        "base_perplexity": base["perplexity"],
        "adapter_perplexity": adapter["perplexity"],
        "tokens": adapter["label_tokens"],
        "conversations": adapter.get("conversations"),
    }


def _change_word(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "not shown: no interval"
    if interval[1] < 0:
        return "lower"
    return "higher" if interval[0] > 0 else "no change shown"


def peak_memory_bytes(perf: Performance) -> float | None:
    """Return the peak of generating, load apart: GPU memory allocated where there is a GPU, else
    resident memory."""
    if perf["status"] == "ok":
        for key in ("steady_peak_gpu_allocated_mib", "steady_peak_resident_mib"):
            peak = perf["memory"].get(key)
            if peak is not None:
                return peak * MIB
    return None


def merge_check(merge_report: MergeReport | None) -> dict[str, Any] | None:
    """Return how far merged and unmerged logits lie apart, in float32 and as the checkpoint was
    saved."""
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
    """Return what was lost or differs on the way from the data and the base model to the adapter,
    as sentences: conversations dropped or cut, another base model of an imported adapter."""
    sentences = list(run_config.get("remarks", ())) if run_config else []
    sentences += data_summary["remarks"] if data_summary else ()
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
    """Return benchmark -> n-gram length in words -> number of items, comparable (long enough) and
    overlapping ones."""
    if contamination is None:
        return None
    return {
        name: {
            words: {
                "items": part["items"],
                "comparable": found["comparable"],
                "overlapping": len(found["overlapping"]),
            }
            for words, found in part["by_ngram_words"].items()
        }
        for name, part in contamination["benchmarks"].items()
    }
