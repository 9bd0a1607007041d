"""Make train_metrics.json and run_config.json from the raw record of a training."""

import math
import statistics
from typing import Any, Literal, cast

from lorabench.description.flops import shapes_of, training_flops
from lorabench.description.utilisation import gpu_idle, utilisation
from lorabench.documents.run_config import Determinism, TrainedWith
from lorabench.documents.train_metrics import (
    ConversationLikelihood,
    Likelihoods,
    PowerNotRead,
    PowerRead,
    SplitLosses,
    Step,
    Trained,
    TrainingTotals,
    WholeLikelihood,
)
from lorabench.documents.training_record import ImportRecord, SplitLikelihood, TrainingRecord

JOULES_PER_KWH = 3.6e6


def train_metrics(record: TrainingRecord) -> Trained:
    """Return the content of train_metrics.json."""
    # of the trainer's log, one row an optimiser step
    steps = [
        cast(Step, {key: row[key] for key in Step.__annotations__})
        for row in record["log"]
        if "loss" in row
    ]
    losses = {split: likelihoods(found) for split, found in record["likelihood"].items()}
    return {
        "schema_version": 1,
        "status": "ok",
        "likelihood": cast(Likelihoods, losses),
        "data": record["data"],
        "totals": totals(record, steps),
        "resumed_at_step": record["resumed_at_step"],
        "phase_seconds": record["phase_seconds"],
        "peak_memory": record["peak_memory"],
        "power": power(record["power"]),
        "evaluations": [
            {"step": row["step"], "epoch": row["epoch"], "nll_per_token": row["eval_loss"]}
            for row in record["log"]
            if "eval_loss" in row
        ],
        "steps": steps,
    }


def likelihoods(split: SplitLikelihood) -> SplitLosses:
    """Return sum, mean (nats a token) and perplexity of base and adapter, and the sums."""
    labels = sum(split["label_tokens"])
    whole: dict[str, WholeLikelihood] = {
        who: {
            "nll_per_token": math.fsum(nll) / labels,
            "perplexity": math.exp(math.fsum(nll) / labels),
            "nll_sum": math.fsum(nll),
            "label_tokens": labels,
            "conversations": len(nll),
        }
        for who, nll in (("base", split["base_nll"]), ("adapter", split["adapter_nll"]))
    }
    names = ("ids", "label_tokens", "base_nll", "adapter_nll")
    rows = zip(*(split[name] for name in names), strict=True)  # type: ignore[literal-required]
    conversations: list[ConversationLikelihood] = [
        {"id": name, "label_tokens": tokens, "base_nll_sum": base, "adapter_nll_sum": adapter}
        for name, tokens, base, adapter in rows
    ]
    return {"base": whole["base"], "adapter": whole["adapter"], "conversations": conversations}


def totals(record: TrainingRecord, steps: list[Step]) -> TrainingTotals:
    """Return steps, tokens, time, operations and speed of the whole training."""
    tokens = sum(row["tokens"] for row in steps)
    labels = sum(row["label_tokens"] for row in steps)
    seconds = sum(row["seconds"] for row in steps)
    passes = tokens / record["data"]["train_tokens"]
    shapes = shapes_of(record["model"]["config"])
    flops = training_flops(
        shapes,
        record["trainable_parameters"],
        tokens,
        labels,
        round(record["data"]["train_squared_tokens"] * passes),
        record["resolved"]["recomputed_layers"] / shapes.layers,
    )
    return {
        "epochs": record["settings"]["num_epochs"],
        "steps": len(steps),
        "tokens": tokens,
        "label_tokens": labels,
        "step_seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "median_step_tokens_per_second": statistics.median(
            row["tokens_per_second"] for row in steps
        ),
        "trainable_parameters": record["trainable_parameters"],
        "floating_point_operations": flops,
        "flops_per_second": flops / seconds,
        "utilisation": utilisation(flops / seconds, record),
        "gpu_idle": gpu_idle(record),
    }


def power(readings: dict[str, Any]) -> PowerRead | PowerNotRead:
    """Return mean and peak power and energy, or not_run with the reason."""
    if readings["reason"] is not None:
        return {"status": "not_run", "reason": readings["reason"]}
    joules = readings["energy_joules"]
    kept = ("reason", "method", "gpus", "seconds", "energy_joules", "peak_watts")
    means = {"mean_watts": joules / readings["seconds"], "energy_kwh": joules / JOULES_PER_KWH}
    return cast(PowerRead, {"status": "ok", **{key: readings[key] for key in kept}, **means})


def run_config(record: TrainingRecord) -> TrainedWith:
    """Return the content of run_config.json: everything that repeating the run takes."""
    return {
        "schema_version": 1,
        "run": record["run"],
        "settings": record["settings"],
        "resolved": record["resolved"],
        "model": {
            "name": record["model"]["name"],
            "source": record["model"]["source"],
            "chat_template_sha256": record["model"]["chat_template_sha256"],
        },
        "data_sha256": record["data_sha256"],
        "history": record["history"],
        "hardware": record["hardware"],
        "software": record["software"],
        "determinism": cast(Determinism, record["determinism"]),
        "git": record["git"],
    }


def imported(record: ImportRecord, name: Literal["train_metrics", "run_config"]) -> dict[str, Any]:
    """Return the file that an imported adapter brought, or one that says that it brought none."""
    absent = {"schema_version": 1, "status": "not_run", "reason": record["reason"]}
    found = record["brought"][name] or absent
    return found if name == "train_metrics" else {**found, "remarks": record["remarks"]}
