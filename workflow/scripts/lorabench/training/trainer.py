"""The training loop: trl's SFTTrainer, with steps divided into passes that waste nothing.

From a batch to its loss: `training_step` divides the step's conversations into micro-batches
(`StepPlan.divide`), `_accumulate` takes this process's share of them, `_loss` gives one to the
model, whose forward is that of `install_label_loss`.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer

from lorabench.errors import PrerequisiteError
from lorabench.observation.gpu_idle import IdleMeter
from lorabench.training.activations import decoder_layers, recompute_activations, recomputed_layers
from lorabench.training.encode import Encoded, TrainingData
from lorabench.training.likelihood import likelihood
from lorabench.training.memory_use import is_out_of_memory
from lorabench.training.micro_batches import MicroBatch, StepLoader, StepPlan, StepSampler
from lorabench.training.processes import share
from lorabench.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def step_batch(rows: list[Encoded]) -> dict[str, Any]:
    """Return the trainer's batch: the conversations of one optimiser step."""
    return {"conversations": rows}


class AdapterTrainer(SFTTrainer):
    """SFTTrainer whose batch is a whole optimiser step.

    What differs from trl: the step's conversations are divided by `StepPlan`; the loss is the sum
    over labelled tokens divided by the step's labelled tokens (of all processes); where memory runs
    out, the step is repeated with less: first activations are computed again, then the micro-batch
    is halved.
    """

    def __init__(
        self,
        *,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        data: TrainingData,
        settings: TrainingSettings,
        plan: StepPlan,
        attention: str,
        arguments: SFTConfig,
        callbacks: list[TrainerCallback],
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        """Take encoded conversations in place of a data set.

        Args:
            model: with adapters.
            tokenizer: for the checkpoints.
            note: called with each event that the run's history should hold.
        """
        self.adapters, self.data, self.settings = model, data, settings
        # conversations of an optimiser step, over all processes
        self.per_step = settings.batch_size * settings.gradient_accumulation
        self.plan, self.attention, self.note = plan, attention, note
        self.step_record: dict[str, float] = {}
        self.step_started = 0.0
        # trl wants a data set; the batches come from get_train_dataloader
        placeholder = Dataset.from_dict({"input_ids": [[0]], "labels": [[0]]})
        self.idle_meter = IdleMeter(arguments.device)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=placeholder,
            eval_dataset=placeholder,
            processing_class=tokenizer,
            data_collator=step_batch,
            callbacks=callbacks,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole steps; every process takes its share of them in `training_step`."""
        sampler = StepSampler(len(self.data.train), self.per_step, self.args.seed)
        return StepLoader(self.data.train, batch_sampler=sampler, collate_fn=step_batch)  # type: ignore[arg-type]

    def get_batch_samples(self, *args: Any) -> Any:
        """Return the next step's batch, timed."""
        with self.idle_meter.preparing_data():
            return super().get_batch_samples(*args)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW; with LoRA+ (arXiv 2402.12354) B has another learning rate."""
        if self.settings.loraplus_ratio is None:
            return super().create_optimizer(model)
        self.optimizer = create_loraplus_optimizer(
            self.adapters,
            torch.optim.AdamW,
            lr=self.args.learning_rate,
            loraplus_lr_ratio=self.settings.loraplus_ratio,
            weight_decay=self.args.weight_decay,
            fused=True,
        )
        return self.optimizer

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate one step's gradient and return its loss, the mean over labelled tokens."""
        model.train()
        self.idle_meter.step_begins()
        self.step_started = time.monotonic()
        conversations: list[Encoded] = inputs["conversations"]
        random_numbers = RandomNumbers()
        while True:
            with self.idle_meter.preparing_data():
                batches = self.plan.divide(conversations)
            try:
                loss = self._accumulate(model, batches)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less_memory(conversations, error)
            # outside of the except block, where the error still holds the failed pass's tensors
            model.zero_grad()
            random_numbers.restore()
        self.step_record = _counts(conversations, batches)
        return loss

    def _accumulate(self, model: torch.nn.Module, batches: list[MicroBatch]) -> torch.Tensor:
        """Add up the micro-batches' gradients; return this process's share of the loss."""
        labels = sum(len(batch.targets) for batch in batches)
        # DDP averages gradients over processes, and the step's loss is a sum over them
        weight = self.args.world_size / labels
        total = torch.zeros((), device=self.args.device)
        parts = list(share(batches))
        for turn, (batch, counts) in enumerate(parts, 1):
            # gradients are exchanged once, with the last pass
            with nullcontext() if turn == len(parts) else self.accelerator.no_sync(model):
                loss = self._loss(model, batch, self.args.device) * (weight * counts)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _loss(
        self, model: torch.nn.Module, batch: MicroBatch, device: torch.device
    ) -> torch.Tensor:
        loss: torch.Tensor = model(**batch.model_inputs(self.attention, device))["loss"]
        return loss

    def _take_less_memory(self, conversations: list[Encoded], error: RuntimeError) -> None:
        """Compute activations again, or divide steps more finely, from here on.

        Raises:
            PrerequisiteError: the micro-batch is a single conversation already, or other processes
                wait for this one.
        """
        event = {"event": "out_of_memory", "step": self.state.global_step}
        layers = len(decoder_layers(self.adapters))
        # short rows first where they are long: that costs least
        tokens = 0 if self.plan.padded_rows else self.plan.size >> self.plan.halvings
        long_rows = tokens > self.settings.max_seq_length
        if not long_rows and recomputed_layers(self.adapters) < layers:
            recompute_activations(self.adapters)
            self.note(event | {"activation_checkpointing": True})
            change = "activations are computed again in the backward pass"
        elif self.plan.halve(conversations):
            self.note(event | {"halvings": self.plan.halvings})
            change = "micro-batch halved, accumulation doubled"
        else:
            longest = max(len(item.input_ids) for item in conversations)
            raise PrerequisiteError(
                "out of memory with a micro-batch that cannot be halved further (longest"
                f" conversation {longest} tokens): lower train_adapter.max_seq_length or lora_r, or"
                " set use_4bit: true"
            ) from error
        if self.args.world_size > 1:
            raise PrerequisiteError(
                "out of memory in one of several processes: run the same command again, it goes on"
                f" from the last checkpoint ({change}, same effective batch)"
            ) from error
        logger.warning("out of memory: %s, same effective batch", change)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the step's counts and time to what is logged after each step."""
        if "loss" in logs:
            seconds = time.monotonic() - self.step_started
            rate = self.step_record["tokens"] / seconds
            logs |= self.step_record | {"seconds": seconds, "tokens_per_second": rate}
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return and log the exact validation loss as `eval_loss`, as `Trainer` does."""
        longest = max(len(item.input_ids) for item in self.data.validation)
        packed = self.plan.rows.capacity if self.plan.padded_rows is None else 0
        found = likelihood(
            self.adapters,
            self.data.validation,
            replace(self.plan.rows, capacity=max(packed, longest)),
            self.attention,
            self.args.device,
            "validation",
        )
        metrics = {"eval_loss": found.nll_sum / found.label_tokens}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the operations of LoRA training are counted where the run is described."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card into checkpoints; the finished adapter gets its own."""


class RandomNumbers:
    """The state of PyTorch's random numbers when this was made, for a step that is repeated."""

    def __init__(self) -> None:
        """Remember the state of the CPU and of all GPUs."""
        self.cpu = torch.get_rng_state()
        self.gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore(self) -> None:
        """Go back to that state, and give the memory of what failed back to the GPU."""
        torch.set_rng_state(self.cpu)
        if self.gpus:
            torch.cuda.set_rng_state_all(self.gpus)
            torch.cuda.empty_cache()


def _counts(conversations: list[Encoded], batches: list[MicroBatch]) -> dict[str, float]:
    """Return what a step is logged with, besides its loss."""
    tokens = sum(batch.tokens for batch in batches)
    padding = sum(batch.padding for batch in batches)
    return {
        "tokens": tokens,
        "label_tokens": sum(len(batch.targets) for batch in batches),
        "conversations": len(conversations),
        "micro_batches": len(batches),
        "padding_fraction": padding / (tokens + padding),
    }


def trainer_arguments(
    settings: TrainingSettings, conversations: int, work: Path, training: str
) -> SFTConfig:
    """Translate the settings into trl's configuration.

    Precision is handled by the loss forward's autocast, batches by `StepPlan`, activation
    checkpointing by `recompute_activations`; so trl sees batch 1 and none of these flags.
    `training` is the name of a tracker's run.
    """
    steps = -(-conversations // (settings.batch_size * settings.gradient_accumulation))
    evaluations = settings.evaluations_per_epoch
    evaluation_steps = max(1, steps // evaluations) if evaluations else None
    constant = settings.lr_scheduler == "constant"
    return SFTConfig(
        output_dir=str(work),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if constant else settings.lr_scheduler,
        warmup_steps=settings.warmup_share,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        num_train_epochs=settings.num_epochs,
        optim="adamw_torch_fused",
        seed=settings.seed,
        bf16=False,
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=False,
        eval_strategy="steps" if evaluation_steps else "no",
        eval_steps=evaluation_steps,
        # besides the checkpoints by the minute
        save_strategy="steps" if evaluation_steps else "no",
        save_steps=evaluation_steps or 1,
        save_total_limit=2,
        load_best_model_at_end=settings.keep_best,
        metric_for_best_model="eval_loss" if evaluation_steps else None,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_steps=1,
        ddp_find_unused_parameters=False,
        report_to=settings.tracker or "none",
        run_name=training,
        project="lorabench",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        dataloader_num_workers=0,
        logging_nan_inf_filter=False,
    )
