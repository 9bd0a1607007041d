"""Run or resume the training of an adapter on a loaded base model."""

import logging
import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from lorabench.documents.run_config import Resolved
from lorabench.llama import device, resolve_dtype
from lorabench.observation.outcome import compiler_failed, resolved
from lorabench.observation.tracking import open_tracker, training_name
from lorabench.training.activations import (
    decoder_layers,
    layer_costs,
    recompute_activations,
    recomputed_layers,
    room_for_activations,
)
from lorabench.training.attention import VARLEN, choose_attention, use_attention
from lorabench.training.checkpoints import open_work_folder, read_history, step_of
from lorabench.training.checks import check_room
from lorabench.training.compilation import compile_layers, why_not_compiled
from lorabench.training.encode import TrainingData
from lorabench.training.label_loss import install_label_loss
from lorabench.training.lora import keep_input_dtype, lora_config, make_adapters_float32
from lorabench.training.memory_plan import MULTIPLE, plan_memory
from lorabench.training.memory_use import is_out_of_memory
from lorabench.training.micro_batches import Rows, StepPlan
from lorabench.training.processes import divide_frozen_layers, over_processes
from lorabench.training.settings import TrainingSettings
from lorabench.training.trainer import AdapterTrainer, trainer_arguments

logger = logging.getLogger(__name__)


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

    # with the trained model, `adapters`, its rows and attention
    trainer: AdapterTrainer
    resolved: Resolved
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
    revision: str | None = None,
) -> Fitted:
    """Train adapters on the frozen `base`, from the recipe's newest checkpoint if there is one.

    `revision` is the base's commit, for the adapter's configuration.
    """
    checkpoint = open_work_folder(session.work, session.recipe)
    dtype = resolve_dtype(settings.dtype)
    not_compiled = why_not_compiled(settings, device(), dtype)
    compiled = not_compiled is None
    attention = choose_attention(device(), dtype, compiled)
    model = _with_adapters(base, settings, revision, attention)
    plan = _first_plan(settings, tokenizer.pad_token_id, session, attention)
    training = training_name(session.run, read_history(session.work)[0]["time"])
    if settings.tracker:
        open_tracker(settings.tracker, training, session.tracking)
    trainer = AdapterTrainer(
        model=model,
        tokenizer=tokenizer,
        data=data,
        settings=settings,
        plan=plan,
        attention=attention,
        arguments=trainer_arguments(settings, len(data.train), session.work, training),
    )
    # after the trainer, which rounds the adapters of a 4-bit base to bfloat16
    make_adapters_float32(model)
    if not settings.use_dora:
        keep_input_dtype(model)
    install_label_loss(base, dtype, settings.neftune_alpha, compiled)
    if compiled:
        compile_layers(model, session.work / "compiled", tolerant=settings.compile == "auto")
    # compiled layers keep less for the backward pass, so they are measured as they will run
    _fit_into_memory(trainer, session)
    logger.info(
        "training with %s", resolved(trainer, dtype, recomputed_layers(model), not_compiled)
    )
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    if compiled:
        not_compiled = compiler_failed()
    return Fitted(
        trainer=trainer,
        resolved=resolved(trainer, dtype, recomputed_layers(model), not_compiled),
        resumed_at_step=step_of(checkpoint) if checkpoint else None,
        seconds=seconds,
    )


def _with_adapters(
    base: PreTrainedModel, settings: TrainingSettings, revision: str | None, attention: str
) -> PeftModel:
    """Return the base with fresh adapters; with `fsdp`, its layers are divided."""
    use_attention(base, attention)
    set_seed(settings.seed)
    with warnings.catch_warnings():
        # peft asks for a property that transformers has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        model = get_peft_model(base, lora_config(settings, revision))
    if settings.fsdp:
        divide_frozen_layers(model)
    return model


def _first_plan(
    settings: TrainingSettings, pad_token: int, session: Session, attention: str
) -> StepPlan:
    """Return the shortest rows that the settings allow.

    The micro-batch is halved as often as was noted before; a second try of the job computes
    activations again, each later one halves it too.
    """
    automatic = settings.row_tokens == "auto"
    rows = Rows(
        capacity=settings.max_seq_length if automatic else int(settings.row_tokens),
        longest=settings.max_seq_length,
        multiple=MULTIPLE if attention == VARLEN else 1,
    )
    padded = None if settings.packing else settings.batch_size
    noted = [event.get("halvings", 0) for event in read_history(session.work)]
    halvings = max([session.attempt - 2, 0, *noted])
    return StepPlan(rows=rows, padded_rows=padded, pad_token=pad_token, halvings=halvings)


def _fit_into_memory(trainer: AdapterTrainer, session: Session) -> None:
    """Set the length of rows and the recomputed layers, equal in all processes.

    It plans from what a layer keeps of the largest micro-batch of the shortest rows. Where memory
    ran out before, the shortest rows are used and all layers computed again.
    """
    model, plan, settings = trainer.adapters, trainer.plan, trainer.settings
    by_length = sorted(trainer.data.train, key=lambda item: -len(item.input_ids))
    largest_step = by_length[: trainer.per_step]
    batch = plan.divide(largest_step)[0]
    shortest = longest = batch.input_ids.numel()
    # only one kernel for all conversations of a row makes long rows faster
    may_grow = settings.packing and settings.row_tokens == "auto" and trainer.attention == VARLEN
    if may_grow:
        longest = max(shortest, plan.rows.filled(sum(len(item.input_ids) for item in largest_step)))
    tokens, recomputed = shortest, len(decoder_layers(model))
    noted = any("activation_checkpointing" in event for event in read_history(session.work))
    if settings.memory != "least" and not noted and session.attempt == 1:
        costs, room = None, room_for_activations(model.get_nb_trainable_parameters()[0])
        try:
            costs = layer_costs(model, batch, trainer.attention, trainer.args.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            room = 0.0
        # every process takes part, one without room too
        room = over_processes([room], trainer.args.device, "MIN")[0]
        if costs is not None and room != 0.0:
            tokens, recomputed = plan_memory(
                costs, room, memory=settings.memory, shortest=shortest, longest=longest
            )
            check_room(tokens * costs.bytes_a_token, room)
    if may_grow and tokens > plan.rows.capacity:
        plan.rows = replace(plan.rows, capacity=tokens)
    if recomputed:
        recompute_activations(model, recomputed)
