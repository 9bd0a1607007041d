"""What the settings' "auto" and the machine came to in a training, for its record and log."""

from typing import Any

import torch

from lorabench.documents.run_config import Resolved


def resolved(
    trainer: Any, dtype: torch.dtype, recomputed_layers: int, not_compiled: str | None
) -> Resolved:
    """Return what a training runs with.

    Args:
        trainer: `lorabench.training.trainer.AdapterTrainer`.
        dtype: in which the layers multiply.
        recomputed_layers: how many compute their activations again in the backward pass.
        not_compiled: why the layers are not compiled; None = they are.
    """
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "device": str(trainer.args.device),
        "attention": trainer.attention,
        "use_4bit": trainer.settings.use_4bit is True,
        "row_tokens": trainer.plan.rows.capacity,
        "compiled": not_compiled is None,
        "not_compiled_because": not_compiled,
        "activation_checkpointing": recomputed_layers > 0,
        "recomputed_layers": recomputed_layers,
        "micro_batch_halvings": trainer.plan.halvings,
        "processes": trainer.args.world_size,
    }


def compiler_failed() -> str | None:
    """Return that the compiler gave up on every layer, which then ran uncompiled; else None."""
    counters = torch._dynamo.utils.counters
    if counters["frames"]["total"] and not counters["stats"]["unique_graphs"]:
        return "the compiler failed; its message is in the log"
    return None
