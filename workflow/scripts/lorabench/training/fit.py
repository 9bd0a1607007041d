"""Run or resume the training of an adapter on a loaded base model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel, get_peft_model
from torch import distributed
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    set_seed,
)

from lorabench.llama import device
from lorabench.provenance import now
from lorabench.training.attention import choose_attention, use_attention
from lorabench.training.checkpoints import (
    SaveByTheMinute,
    add_to_history,
    open_work_folder,
    read_history,
    step_of,
    training_name,
)
from lorabench.training.encode import Encoded
from lorabench.training.label_loss import install_label_loss
from lorabench.training.lora import keep_input_dtype, lora_config, make_adapters_float32
from lorabench.training.processes import divide_frozen_layers, is_first
from lorabench.training.settings import TrainingSettings
from lorabench.training.steps import StepPlan
from lorabench.training.tracking import open_tracker
from lorabench.training.trainer import AdapterTrainer, trainer_arguments


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained model and how it came about."""

    model: PeftModel
    attention: str
    device: torch.device
    dtype: torch.dtype
    checkpointing: bool
    # parameters
    trainable: int
    log_history: list[dict[str, Any]]
    history: list[dict[str, Any]]
    # of the micro-batch, for lack of memory
    halvings: int
    resumed_at_step: (
        int | None
        # of the checkpoint that this process began with; None = it trained from the start
    )
    # wall time of this process's part
    seconds: float

    def resolved(self) -> dict[str, Any]:
        """Return what the settings' "auto" and this machine came to, as JSON."""
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "attention": self.attention,
            "activation_checkpointing": self.checkpointing,
            "micro_batch_halvings": self.halvings,
            "processes": distributed.get_world_size() if distributed.is_initialized() else 1,
        }


def fit(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    settings: TrainingSettings,
    *,
    dtype: torch.dtype,
    checkpointing: bool,
    revision: str | None,
    recipe: dict[str, Any],
    work: Path,
    attempt: int = 1,
    run: str = "",
    tracking: Path = Path("logs/tracking"),
) -> Fitted:
    """Train adapters on `base`, from the newest whole checkpoint of the same recipe in `work` where
    there is one.

    Args:
        base: frozen, on its device; `tokenizer` gives the padding token.
        train: the training set; `validation` is for evaluations during training, where the settings
            ask for them.
        dtype: in which the layers multiply; `checkpointing` recomputes activations; `revision` is
            the base's commit.
        recipe: what identifies the run; `work` is the folder of its checkpoints, those of another
            are discarded.
        attempt: number of this try, each starts with half the micro-batch; `run` names a tracker's
            run, in `tracking`.
    """
    checkpoint = _begin(work, recipe)
    halvings = max([attempt - 1, *(event.get("halvings", 0) for event in read_history(work))])
    plan = StepPlan(settings, tokenizer.pad_token_id, halvings)
    attention = choose_attention(device())
    model = _with_adapters(base, settings, revision, attention)
    trainer = _trainer(
        settings,
        work,
        checkpointing,
        open_tracker(settings.tracker, training_name(run, work), tracking),
        model=model,
        processing_class=tokenizer,
        conversations=train,
        validation=validation,
        plan=plan,
        attention=attention,
    )
    trainable = make_adapters_float32(model)
    if not settings.use_dora:
        keep_input_dtype(model)
    install_label_loss(base, dtype, settings.neftune_alpha)
    seconds = _train(
        trainer, checkpoint, round(settings.num_epochs * sum(len(item.input_ids) for item in train))
    )
    return Fitted(
        model=model,
        attention=attention,
        device=device(),
        dtype=dtype,
        checkpointing=checkpointing,
        trainable=trainable,
        log_history=trainer.state.log_history,
        history=read_history(work),
        halvings=plan.halvings,
        resumed_at_step=step_of(checkpoint) if checkpoint else None,
        seconds=seconds,
    )


def _begin(work: Path, recipe: dict[str, Any]) -> Path | None:
    """Open the folder of checkpoints, note the start, and return the checkpoint to go on from."""
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        checkpoint = open_work_folder(work, recipe)
        if is_first():
            event = "resumed" if checkpoint else "started"
            add_to_history(
                work, {"event": event, "checkpoint": checkpoint and checkpoint.name, "time": now()}
            )
    return checkpoint


def _with_adapters(
    base: PreTrainedModel, settings: TrainingSettings, revision: str | None, attention: str
) -> PeftModel:
    """Return the base with fresh adapters, its layers divided among the processes where the
    settings say so."""
    use_attention(base, attention)
    set_seed(settings.seed)
    model = get_peft_model(base, lora_config(settings, revision))
    if settings.fsdp:
        divide_frozen_layers(model)
    return model


def _trainer(
    settings: TrainingSettings,
    work: Path,
    checkpointing: bool,
    tracking: dict[str, Any],
    **kwargs: Any,
) -> AdapterTrainer:
    """Make the trainer with its checkpoints, early stopping and record of events; `kwargs` are
    those of the trainer."""
    on_cpu = device().type == "cpu"
    evaluation_steps = settings.evaluation_steps(len(kwargs["conversations"]))
    trainer = AdapterTrainer(
        args=trainer_arguments(settings, work, checkpointing, on_cpu, evaluation_steps, tracking),
        callbacks=[SaveByTheMinute(settings.save_minutes)],
        per_step=settings.conversations_per_step,
        loraplus_ratio=settings.loraplus_ratio,
        on_halved=lambda event: add_to_history(work, event | {"time": now()}),
        **kwargs,
    )
    trainer.remove_callback(PrinterCallback)
    if settings.early_stopping_patience:
        trainer.add_callback(EarlyStoppingCallback(settings.early_stopping_patience))
    return trainer


def _train(trainer: AdapterTrainer, checkpoint: Path | None, tokens: int) -> float:
    """Run the trainer with a progress bar over `tokens` and return its wall time in seconds."""
    started = time.monotonic()
    with tqdm(
        total=tokens, desc="train", unit="tok", mininterval=1, disable=not is_first()
    ) as trainer.progress:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return time.monotonic() - started
