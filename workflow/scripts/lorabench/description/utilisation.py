"""Compare the speed of training with the peak of its device, if that is known."""

from typing import Any

from lorabench.description.gpus import known_gpu
from lorabench.documents.train_metrics import Utilisation
from lorabench.documents.training_record import TrainingRecord

# A GPU that waits for more than this share of the time is bound by what feeds it.
BOUND = 0.2
# tokens; rows of this length keep a GPU of the H100's class busy
LONG_ROWS = 4096


def gpu_idle(record: TrainingRecord) -> dict[str, Any]:
    """Return the share of time in which the GPU had no work, and a sentence on what bound the
    training and what to change; null, with the reason, where it was not measured.

    The conversations are in memory as tokens before training begins, so a GPU never waits for data:
    it waits for Python to launch its kernels.
    """
    share = record["gpu_idle"]["idle_share"]
    if share is None:
        return record["gpu_idle"] | {"sentence": None}
    resolved = record["resolved"]
    advice = []
    if not resolved["compiled"]:
        advice.append(f"layers were not compiled ({resolved['not_compiled_because']})")
    if resolved["row_tokens"] < LONG_ROWS and record["settings"]["packing"]:
        advice.append(f"rows had {resolved['row_tokens']} tokens (see memory and row_tokens)")
    if not record["settings"]["packing"]:
        advice.append("conversations were padded (see packing)")
    words = "; ".join(advice) or "the model is small for this GPU"
    sentence = f"The GPU had no work in {share:.0%} of the time"
    if share > BOUND:
        sentence += f": training was bound by launching kernels from Python, because {words}"
    return record["gpu_idle"] | {"sentence": f"{sentence}."}


def utilisation(flops_per_second: float, record: TrainingRecord) -> Utilisation:
    """Return the share of the peak that `flops_per_second` is; null, with the reason, where the
    peak is not known.

    Args:
        flops_per_second: of all processes together; their devices are taken to be equal.
        record: of the training.
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
