"""Say how a training computed, and how well it used its device."""

from collections.abc import Mapping
from typing import Any

from lorabench.description.gpus import known_gpu
from lorabench.documents.train_metrics import Utilisation
from lorabench.documents.training_record import TrainingRecord

# A GPU that waits for more than this share of the time is bound by what feeds it.
BOUND = 0.2
# tokens; rows of this length keep a GPU of the H100's class busy
LONG_ROWS = 4096


def speed_sentences(totals: Mapping[str, Any], run_config: Mapping[str, Any]) -> list[str]:
    """Return sentences on arithmetic, compilation, share of the peak and time without work.

    What an imported adapter's record lacks is left out.
    """
    resolved = run_config.get("resolved") or {}
    sentences = []
    if "use_4bit" in resolved:
        asked = (run_config.get("settings") or {}).get("use_4bit")
        sentences.append(_how(resolved, automatic=asked == "auto"))
    if peak := totals.get("utilisation"):
        sentences.append(
            f"{peak['share']:.0%} of the {peak['precision']} peak of {peak['peak_name']}."
            if peak["share"] is not None
            else f"Share of the device's peak: not known ({peak['reason']})."
        )
    if sentence := (totals.get("gpu_idle") or {}).get("sentence"):
        sentences.append(sentence)
    return sentences


def _how(resolved: Mapping[str, Any], automatic: bool) -> str:
    """Return what the settings' "auto" came to, as a sentence."""
    base = "NF4" if resolved["use_4bit"] else resolved["dtype"]
    why = ""
    if automatic:
        size = "more than" if resolved["use_4bit"] else "at most"
        why = f" (use_4bit: auto: 16-bit weights take {size} a third of the free memory)"
    layers = "compiled"
    if resolved.get("not_compiled_because"):
        layers = f"not compiled ({resolved['not_compiled_because']})"
    return f"The base was held in {base}{why}, its layers were {layers}."


def gpu_idle(record: TrainingRecord) -> dict[str, Any]:
    """Return the share of time in which the GPU had no work, and a sentence on it.

    The sentence says what bound the training and what to change, or why it was not measured.
    """
    reading = record["gpu_idle"]
    share = reading["idle_share"]
    if share is None:
        words = f"Time in which the GPU had no work: not measured ({reading['reason']})."
        return reading | {"sentence": words}
    sentence = f"The GPU had no work in {share:.0%} of the time"
    # records of earlier versions have no share of data
    data = reading.get("data_share") or 0.0
    if share > BOUND and data > share / 2:
        sentence += (
            f": training was bound by its data, since preparing the next rows took {data:.0%} of"
            " the time; give the job more or faster processor cores"
        )
    elif share > BOUND:
        why = launched_slowly(record)
        sentence += f": training was bound by launching kernels from Python, because {why}"
    return reading | {"sentence": f"{sentence}."}


def launched_slowly(record: TrainingRecord) -> str:
    """Return what makes kernels many and small, with the settings that change it."""
    resolved, packing = record["resolved"], record["settings"]["packing"]
    advice = []
    if not resolved["compiled"]:
        advice.append(f"layers were not compiled ({resolved['not_compiled_because']})")
    if resolved["row_tokens"] < LONG_ROWS and packing:
        advice.append(f"rows had {resolved['row_tokens']} tokens (see memory and row_tokens)")
    if not packing:
        advice.append("conversations were padded (see packing)")
    return "; ".join(advice) or "the model is small for this GPU"


def utilisation(flops_per_second: float, record: TrainingRecord) -> Utilisation:
    """Return the share of the peak that `flops_per_second` is; null, with the reason, if unknown.

    Args:
        flops_per_second: of all processes together; their devices are taken to be equal.
    """
    precision = record["resolved"]["dtype"]
    processes = record["resolved"]["processes"]
    name, peak = _peak_of_one(record)
    total = peak * processes
    return {
        "peak_name": (f"{processes} x {name}" if processes > 1 else name) if peak else None,
        "precision": precision,
        "peak_flops_per_second": total or None,
        "share": flops_per_second / total if total else None,
        "reason": None if peak else f"no {precision} peak is known of {name}",
    }


def _peak_of_one(record: TrainingRecord) -> tuple[str, float]:
    """Return name and peak of one process's device; 0 where it is not known."""
    speed = record["matrix_speed"]
    if speed is not None:
        name = f"{speed['threads']} CPU cores (a large matrix product, timed here)"
        return name, speed["flops_per_second"]
    kind, _, index = record["resolved"]["device"].partition(":")
    gpus = record["hardware"]["gpus"]
    name = gpus[int(index or 0)]["name"] if gpus else kind
    gpu = known_gpu(name)
    if gpu is None:
        return name, 0.0
    in_bfloat16 = record["resolved"]["dtype"] == "bfloat16"
    peak = gpu.bfloat16_flops if in_bfloat16 else gpu.float32_flops
    return f"{name} (data sheet, dense)", peak
