"""Run or resume the training of an adapter on a loaded base model."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel, get_peft_model
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)

from lorabench.llama import device, resolve_dtype
from lorabench.provenance import now
from lorabench.training.activations import must_recompute, recompute_activations
from lorabench.training.attention import choose_attention, use_attention
from lorabench.training.checkpoints import (
    SaveByTheMinute,
    add_to_history,
    open_work_folder,
    read_history,
    step_of,
    training_name,
)
from lorabench.training.encode import TrainingData
from lorabench.training.label_loss import install_label_loss
from lorabench.training.likelihood import model_inputs
from lorabench.training.lora import keep_input_dtype, lora_config, make_adapters_float32
from lorabench.training.processes import divide_frozen_layers, is_first, sum_over_processes
from lorabench.training.progress import Progress
from lorabench.training.settings import TrainingSettings
from lorabench.training.steps import StepPlan
from lorabench.training.tracking import open_tracker
from lorabench.training.trainer import AdapterTrainer, trainer_arguments


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a training is called, what identifies it, and where it keeps its files."""

    # folder of checkpoints and of the history
    work: Path
    # checkpoints of another recipe are discarded
    recipe: dict[str, Any] = field(default_factory=dict)
    # name for a tracker, whose files are in `tracking`
    run: str = ""
    tracking: Path = Path("logs/tracking")
    # number of this try of the job; each after the first asks for less memory
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained model and how it came about."""

    model: PeftModel
    attention: str
    device: torch.device
    dtype: torch.dtype
    # activations were computed again in the backward pass, at least at the end
    checkpointing: bool
    # parameters
    trainable: int
    log_history: list[dict[str, Any]]
    history: list[dict[str, Any]]
    # of the micro-batch, for lack of memory
    halvings: int
    # of the checkpoint that this process began with; None = it trained from the start
    resumed_at_step: int | None
    # wall time of this process's part
    seconds: float


def fit(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TrainingData,
    settings: TrainingSettings,
    session: Session,
    *,
    revision: str | None = None,
    checkpointing: bool | None = None,
) -> Fitted:
    """Train adapters on `base`, from the newest whole checkpoint of the same recipe where there is
    one.

    Args:
        base: frozen, on its device.
        tokenizer: gives the padding token.
        data: the validation set is for evaluations during training, where the settings ask for
            them.
        settings: the recipe.
        session: name, folders and try.
        revision: the base's commit, for the adapter's configuration.
        checkpointing: whether activations are computed again in the backward pass; None = where
            memory asks for it.
    """
    checkpoint = _begin(session)
    dtype = resolve_dtype(settings.dtype)
    attention = choose_attention(device())
    model = _with_adapters(base, settings, revision, attention)
    plan = StepPlan(settings, tokenizer.pad_token_id, _halvings(session))
    trainer = _trainer(model, tokenizer, data, settings, session, plan, attention)
    # after the trainer, which rounds the adapters of a 4-bit base to bfloat16
    trainable = make_adapters_float32(model)
    if not settings.use_dora:
        keep_input_dtype(model)
    install_label_loss(base, dtype, settings.neftune_alpha)
    if checkpointing is None:
        checkpointing = _must_recompute(trainer, session, trainable)
    if checkpointing:
        recompute_activations(model)
    seconds = _train(trainer, checkpoint)
    return Fitted(
        model=model,
        attention=attention,
        device=device(),
        dtype=dtype,
        checkpointing=base.is_activation_checkpointing,
        trainable=trainable,
        log_history=trainer.state.log_history,
        history=read_history(session.work),
        halvings=plan.halvings,
        resumed_at_step=step_of(checkpoint) if checkpoint else None,
        seconds=seconds,
    )


def _begin(session: Session) -> Path | None:
    """Open the folder of checkpoints, note the start, and return the checkpoint to go on from."""
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        checkpoint = open_work_folder(session.work, session.recipe)
        if is_first():
            event = {
                "event": "resumed" if checkpoint else "started",
                "checkpoint": checkpoint.name if checkpoint else None,
                "time": now(),
            }
            add_to_history(session.work, event)
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


def _halvings(session: Session) -> int:
    """Return how often the micro-batch was halved before, or should be now: a second try computes
    activations again, each later one halves the micro-batch too."""
    noted = [event.get("halvings", 0) for event in read_history(session.work)]
    return max([session.attempt - 2, 0, *noted])


def _trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    data: TrainingData,
    settings: TrainingSettings,
    session: Session,
    plan: StepPlan,
    attention: str,
) -> AdapterTrainer:
    """Make the trainer with its checkpoints, tracker, early stopping and record of events."""
    work = session.work
    tracking = open_tracker(settings.tracker, training_name(session.run, work), session.tracking)
    callbacks: list[TrainerCallback] = [SaveByTheMinute(settings.save_minutes)]
    if settings.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(settings.early_stopping_patience))
    trainer = AdapterTrainer(
        model=model,
        tokenizer=tokenizer,
        data=data,
        settings=settings,
        plan=plan,
        attention=attention,
        arguments=trainer_arguments(settings, len(data.train), work, tracking),
        callbacks=callbacks,
        note=lambda event: add_to_history(work, event | {"time": now()}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _must_recompute(trainer: AdapterTrainer, session: Session, trainable: int) -> bool:
    """Return whether activations have to be computed again: memory ran out before, or the largest
    micro-batch needs more than is free, in any of the processes."""
    noted = [event.get("activation_checkpointing") for event in read_history(session.work)]
    if any(noted) or session.attempt > 1:
        return True
    longest = sorted(trainer.data.train, key=lambda item: -len(item.input_ids))
    batch = trainer.plan.divide(longest[: trainer.settings.conversations_per_step])[0]
    inputs = model_inputs(batch, trainer.attention, trainer.args.device)
    needed = must_recompute(trainer.adapters, inputs, trainable)
    return sum_over_processes([float(needed)], trainer.args.device)[0] > 0


def _train(trainer: AdapterTrainer, checkpoint: Path | None) -> float:
    """Run the trainer and return its wall time in seconds."""
    tokens = sum(len(item.input_ids) for item in trainer.data.train)
    total = round(trainer.settings.num_epochs * tokens)
    started = time.monotonic()
    with Progress(total, shown=is_first()) as trainer.progress:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return time.monotonic() - started
