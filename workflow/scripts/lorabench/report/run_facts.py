"""The facts of a run for the first screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.documents.report import RunFacts
from lorabench.documents.run_config import RunConfig
from lorabench.documents.train_metrics import Trained

# rule -> stage, in the order of a run
STAGES = {
    "prepare_conversations": "data",
    "check_contamination": "data",
    "train_adapter": "training",
    "import_adapter": "training",
    "describe_adapter": "training",
    "merge_adapter": "merge",
    "evaluate_task": "evaluation",
    "generate_answers": "evaluation",
    "merge_answers": "evaluation",
    "judge": "judging",
    "measure_inference": "inference",
    "summarise_inference": "inference",
    "score_benchmark": "scoring",
    "compare_variants": "scoring",
}


def stage_seconds(folder: Path) -> dict[str, float]:
    """Return stage -> seconds of its jobs' last attempts, from Snakemake's benchmark files."""
    seconds: dict[str, float] = {}
    for path in sorted(folder.rglob("*.tsv")):
        stage = STAGES.get(path.relative_to(folder).parts[0].removesuffix(".tsv"))
        lines = path.read_text(encoding="utf-8").splitlines()
        if stage is None or len(lines) < 2:
            continue
        # one row a repeat
        spent = sum(float(line.split("\t")[0]) for line in lines[1:] if line)
        seconds[stage] = seconds.get(stage, 0.0) + spent
    return {stage: seconds[stage] for stage in dict.fromkeys(STAGES.values()) if stage in seconds}


def run_facts(
    run_config: RunConfig | None,
    train_metrics: Trained | None,
    declared_at: str,
    seconds: Mapping[str, float],
) -> RunFacts:
    """Return the facts of report.json's `facts`; None for what is not known.

    Args:
        declared_at: when the gate's margins were declared, UTC.
    """
    # what an imported adapter brought may lack any of it
    config: Mapping[str, Any] = run_config or {}
    metrics: Mapping[str, Any] = train_metrics or {}
    history = config.get("history") or ()
    git = config.get("git") or {}
    memory = metrics.get("peak_memory") or {}
    power = metrics.get("power") or {}
    on_gpu = memory.get("gpu_allocated_bytes") is not None
    measured = power.get("status") == "ok"
    return {
        "trained_at": history[0]["time"] if history else None,
        "declared_at": declared_at,
        "commit": git.get("commit"),
        "changed_files": git.get("dirty"),
        "seconds": dict(seconds),
        "hardware": _hardware(config.get("hardware") or {}),
        "training_memory_bytes": memory.get("gpu_allocated_bytes" if on_gpu else "resident_bytes"),
        "training_memory_of": "GPU" if on_gpu else "process",
        "energy_kwh": power.get("energy_kwh") if measured else None,
        "energy_reason": None if measured else power.get("reason"),
    }


def _hardware(hardware: Mapping[str, Any]) -> str | None:
    """Return the machine that trained, as "2 x NVIDIA H100" or "AMD EPYC, 16 cores"."""
    gpus = [str(gpu.get("name", "GPU")) for gpu in hardware.get("gpus") or ()]
    if gpus:
        return ", ".join(f"{gpus.count(kind)} x {kind}" for kind in dict.fromkeys(gpus))
    cpu = hardware.get("cpu")
    return f"{cpu}, {hardware.get('cpu_cores')} cores, no GPU" if cpu else None


def duration_text(seconds: float) -> str:
    """Return a duration as "2 h 05 min", "3 min 20 s" or "12 s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def time_text(moment: str | None) -> str:
    """Return a UTC time in ISO 8601 as "2026-11-26 09:00 UTC"."""
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else "not recorded"
