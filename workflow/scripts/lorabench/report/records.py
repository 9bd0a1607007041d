"""Read from the JSON files of other stages what a report needs, None where a stage did not write
it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.files import read_json
from lorabench.scoring.held_out import held_out_conversations, loss_change

MIB = 2**20
# share of a split's conversations
WORTH_A_WORD = 0.05


def read_optional(path: Path | None) -> dict[str, Any] | None:
    """Return a JSON object, None for a file that the run does not have."""
    return None if path is None else dict(read_json(path))


def from_open_assistant(source: Mapping[str, Any]) -> bool:
    """Return whether the name of a source means OpenAssistant's data: OpenAssistant/oasst1,
    openassistant-guanaco."""
    return re.search(r"oasst|open[-_ ]?assistant", str(source["origin"]), re.IGNORECASE) is not None


def validation_losses(
    train_metrics: Mapping[str, Any] | None, confidence: float
) -> dict[str, Any] | None:
    """Return base_nll and adapter_nll (nats per answer token) of the held-out conversations, the
    interval of their change and what it shows as a word.

    The interval is None where the record has no losses by conversation; nothing is shown then.
    """
    exact = (train_metrics or {}).get("likelihood", {}).get("validation")
    if exact is None:
        return None
    base, adapter = exact["base"], exact["adapter"]
    conversations = held_out_conversations(train_metrics)
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


def peak_memory_bytes(perf: Mapping[str, Any]) -> float | None:
    """Return the peak of generating, load apart: GPU memory allocated where there is a GPU, else
    resident memory."""
    memory = perf.get("memory") or {}
    for key in ("steady_peak_gpu_allocated_mib", "steady_peak_resident_mib"):
        if memory.get(key) is not None:
            return float(memory[key]) * MIB
    return None


def merge_check(merge_report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how far merged and unmerged logits lie apart, in float32 and as the checkpoint was
    saved."""
    if merge_report is None:
        return None
    return {
        key: merge_report[key]
        for key in ("dtype", "prompts", "max_logit_difference", "float32", "as_saved")
    }


def remarks(
    data_summary: Mapping[str, Any] | None,
    train_metrics: Mapping[str, Any] | None,
    run_config: Mapping[str, Any] | None,
) -> list[str]:
    """Return what was lost or differs on the way from the data and the base model to the adapter,
    as sentences: conversations dropped or cut, another base model of an imported adapter."""
    sentences = [*((run_config or {}).get("remarks") or ())]
    sentences += (data_summary or {}).get("remarks") or ()
    counts = (train_metrics or {}).get("data") or {}
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
    contamination: Mapping[str, Any] | None,
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
