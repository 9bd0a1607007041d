"""Put the facts of a finished training into its raw record."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lorabench.documents.training_record import SplitLikelihood, TrainedModel, TrainingRecord
from lorabench.git import git_state
from lorabench.provenance import hardware, software
from lorabench.training.encode import Encoded, TrainingData
from lorabench.training.fit import Fitted
from lorabench.training.likelihood import Likelihood
from lorabench.training.matrix_speed import matrix_speed
from lorabench.training.memory_use import peak_memory
from lorabench.training.power import PowerMeter


def training_record(
    fitted: Fitted,
    *,
    run: str,
    settings: dict[str, Any],
    model: TrainedModel,
    data: dict[str, int],
    data_sha256: dict[str, str],
    likelihood: dict[str, SplitLikelihood],
    phase_seconds: dict[str, float],
    meter: PowerMeter,
) -> TrainingRecord:
    """Return the record.

    Args:
        fitted: the trained model and its log, of all processes that took part when the run was
            resumed.
        run: the run's name.
        settings: the config section as given.
        model: the base.
        data: from `count_data`.
        data_sha256: file -> hash.
        likelihood: split -> from `split_likelihood`.
        phase_seconds: wall time of this process by phase.
        meter: what it read while this process trained.
    """
    on_cpu = fitted.device.type == "cpu"
    return {
        "schema_version": 1,
        "status": "ok",
        "run": run,
        "settings": settings,
        "resolved": resolved(fitted),
        "trainable_parameters": fitted.trainable,
        "model": model,
        "data_sha256": data_sha256,
        "data": data,
        "log": fitted.log_history,
        "history": fitted.history,
        "resumed_at_step": fitted.resumed_at_step,
        "likelihood": likelihood,
        "phase_seconds": phase_seconds,
        "peak_memory": peak_memory() | meter.memory,
        "gpu_idle": fitted.gpu_idle,
        "power": meter.readings(),
        "matrix_speed": matrix_speed(fitted.dtype) if on_cpu else None,
        "hardware": hardware(),
        "software": software(),
        "determinism": determinism(settings["seed"]),
        "git": git_state(Path(__file__).parent),
    }


def resolved(fitted: Fitted) -> dict[str, Any]:
    """Return what the settings' "auto" and this machine came to."""
    return {
        "dtype": str(fitted.dtype).removeprefix("torch."),
        "device": str(fitted.device),
        "attention": fitted.attention,
        "use_4bit": fitted.use_4bit,
        "row_tokens": fitted.rows.capacity,
        "compiled": fitted.not_compiled_because is None,
        "not_compiled_because": fitted.not_compiled_because,
        "activation_checkpointing": fitted.recomputed_layers > 0,
        "recomputed_layers": fitted.recomputed_layers,
        "micro_batch_halvings": fitted.halvings,
        "processes": distributed.get_world_size() if distributed.is_initialized() else 1,
    }


def count_data(data: TrainingData, dropped: dict[str, int]) -> dict[str, int]:
    """Count what training saw. `dropped`: conversations without anything to learn, by split."""
    counts: dict[str, int] = {}
    for split, items in (("train", data.train), ("validation", data.validation)):
        counts |= {
            f"{split}_conversations": len(items),
            f"{split}_tokens": sum(len(item.input_ids) for item in items),
            # what attention costs goes by
            f"{split}_squared_tokens": sum(len(item.input_ids) ** 2 for item in items),
            f"{split}_label_tokens": sum(item.label_count for item in items),
            f"{split}_truncated_conversations": sum(item.cut_tokens > 0 for item in items),
            f"{split}_cut_tokens": sum(item.cut_tokens for item in items),
            f"{split}_dropped_without_labels": dropped[split],
        }
    return counts


def split_likelihood(
    items: Sequence[Encoded], base: Likelihood, adapter: Likelihood
) -> SplitLikelihood:
    """Put the likelihoods of the same conversations next to each other."""
    return {
        "ids": [item.id for item in items],
        "label_tokens": base.labels,
        "base_nll": base.nll,
        "adapter_nll": adapter.nll,
    }


def determinism(seed: int) -> dict[str, Any]:
    """Return what decides whether the same work gives the same bits."""
    return {
        "seed": seed,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "python_hash_seed": os.environ.get("PYTHONHASHSEED"),
    }
