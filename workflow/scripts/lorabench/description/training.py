"""Assemble train_metrics.json and run_config.json."""

import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lorabench.description.flops import Shapes, shapes_of, training_flops
from lorabench.description.utilisation import utilisation
from lorabench.git import git_state
from lorabench.provenance import hardware, software
from lorabench.training.encode import Encoded
from lorabench.training.fit import Fitted
from lorabench.training.memory_use import peak_memory
from lorabench.training.power import PowerMeter

STEP_KEYS = (
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "label_tokens",
    "conversations",
    "micro_batches",
    "padding_fraction",
    "seconds",
    "tokens_per_second",
)


def step_rows(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row an optimiser step from the trainer's log, with the keys of `STEP_KEYS`."""
    return [
        {"step": row["step"], **{key: row[key] for key in STEP_KEYS}}
        for row in log_history
        if "loss" in row
    ]


def data_summary(
    train: Sequence[Encoded], validation: Sequence[Encoded], dropped: dict[str, int]
) -> dict[str, Any]:
    """Count what training saw. `dropped`: conversations without anything to learn, by split."""
    summary: dict[str, Any] = {}
    for split, items in (("train", train), ("validation", validation)):
        summary |= {
            f"{split}_conversations": len(items),
            f"{split}_tokens": sum(len(item.input_ids) for item in items),
            f"{split}_squared_tokens": sum(
                len(item.input_ids) ** 2
                for item in items
                # what attention costs goes by
            ),
            f"{split}_label_tokens": sum(item.label_count for item in items),
            f"{split}_truncated_conversations": sum(item.cut_tokens > 0 for item in items),
            f"{split}_cut_tokens": sum(item.cut_tokens for item in items),
            f"{split}_dropped_without_labels": dropped[split],
        }
    return summary


def train_metrics(
    fitted: Fitted,
    *,
    data: dict[str, Any],
    model_config: dict[str, Any],
    epochs: float,
    likelihood: dict[str, Any],
    phase_seconds: dict[str, float],
    meter: PowerMeter,
) -> dict[str, Any]:
    """Return the content of train_metrics.json.

    Args:
        fitted: the trained model with its log, of all processes that took part when the run was
            resumed.
        data: from `data_summary`.
        model_config: the base model's config.json.
        epochs: passes over the data that were asked for.
        likelihood: split -> {"base": …, "adapter": …}.
        phase_seconds: wall time of this process by phase.
        meter: what it read while this process trained.
    """
    steps = step_rows(fitted.log_history)
    share = (
        sum(row["tokens"] for row in steps) / data["train_tokens"]
        # passes over the data that were made
    )
    return {
        "schema_version": 1,
        "status": "ok",
        "likelihood": likelihood,
        "data": data,
        "totals": {
            "epochs": epochs,
            **_totals(
                fitted, steps, shapes_of(model_config), round(data["train_squared_tokens"] * share)
            ),
        },
        "resumed_at_step": fitted.resumed_at_step,
        "phase_seconds": phase_seconds,
        "peak_memory": peak_memory() | meter.memory,
        "power": meter.result(),
        "evaluations": [
            {"step": row["step"], "epoch": row["epoch"], "nll_per_token": row["eval_loss"]}
            for row in fitted.log_history
            if "eval_loss" in row
        ],
        "steps": steps,
    }


def _totals(
    fitted: Fitted, steps: list[dict[str, Any]], shapes: Shapes, squared_tokens: int
) -> dict[str, Any]:
    tokens, labels, seconds = (
        sum(row[key] for row in steps) for key in ("tokens", "label_tokens", "seconds")
    )
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    flops = training_flops(
        shapes, fitted.trainable, tokens, labels, squared_tokens, fitted.checkpointing
    )
    return {
        "steps": len(steps),
        "tokens": tokens,
        "label_tokens": labels,
        "step_seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "median_step_tokens_per_second": statistics.median(
            row["tokens_per_second"] for row in steps
        ),
        "trainable_parameters": fitted.trainable,
        "floating_point_operations": flops,
        "flops_per_second": flops / seconds,
        "utilisation": utilisation(flops / seconds, fitted.dtype, fitted.device, processes),
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


def run_config(
    *,
    run: str,
    settings: dict[str, Any],
    fitted: Fitted,
    model: dict[str, Any],
    data: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of run_config.json: everything that repeating the run takes.

    Args:
        run: the run's name.
        settings: the config section as given.
        fitted: the trained model: what "auto" and the machine came to, and starts, resumes and
            memory shortages.
        model: name and source.json of the base model, and the hash of its chat template.
        data: file -> SHA-256.
    """
    return {
        "schema_version": 1,
        "run": run,
        "settings": settings,
        "resolved": fitted.resolved(),
        "model": model,
        "data_sha256": data,
        "history": fitted.history,
        "hardware": hardware(),
        "software": software(),
        "determinism": determinism(settings["seed"]),
        "git": git_state(Path(__file__).parent),
    }
