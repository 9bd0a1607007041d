"""The training loop: trl's SFTTrainer, with each optimiser step divided into forward passes that
waste nothing."""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm
from trl import SFTConfig, SFTTrainer

from lorabench.errors import PrerequisiteError
from lorabench.training.encode import Encoded
from lorabench.training.likelihood import likelihood, model_inputs
from lorabench.training.micro_batches import MicroBatch
from lorabench.training.processes import share
from lorabench.training.settings import TrainingSettings
from lorabench.training.steps import StepLoader, StepPlan, StepSampler

logger = logging.getLogger(__name__)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell a lack of memory, on a GPU or in the CPU's allocator, from other errors."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def step_batch(rows: list[Encoded]) -> dict[str, Any]:
    """Return the trainer's batch: the conversations of one optimiser step."""
    return {"conversations": rows}


class AdapterTrainer(SFTTrainer):
    """SFTTrainer whose batch is a whole optimiser step.

    What differs from trl: the step's conversations are divided by `StepPlan`; the loss is the sum
    over labelled tokens divided by the step's labelled tokens (of all processes); a lack of memory
    halves the micro-batch and repeats the step.
    """

    def __init__(
        self,
        *,
        model: PeftModel,
        conversations: Sequence[Encoded],
        validation: Sequence[Encoded],
        plan: StepPlan,
        attention: str,
        per_step: int,
        on_halved: Any,
        loraplus_ratio: float | None,
        **kwargs: Any,
    ) -> None:
        """Take what `SFTTrainer` takes, with encoded conversations in place of a data set.

        Args:
            model: with adapters.
            conversations: the training set.
            validation: for evaluations during training.
            plan: how steps are divided.
            attention: see `lorabench.training.attention`.
            per_step: conversations an optimiser step, over all processes.
            on_halved: called with a dict describing the event when memory ran out and the
                micro-batch was halved.
            loraplus_ratio: learning rate of the B matrices over that of A; None = the same.
            kwargs: as for `SFTTrainer`.
        """
        self.conversations, self.plan, self.attention, self.per_step = (
            conversations,
            plan,
            attention,
            per_step,
        )
        self.on_halved, self.loraplus_ratio = on_halved, loraplus_ratio
        self.step_record: dict[str, float] = {}
        self.step_started = 0.0
        self.progress: tqdm[Any] | None = None
        placeholder = Dataset.from_dict(
            {"input_ids": [[0]], "labels": [[0]]}
            # batches come from get_train_dataloader
        )
        self.validation, self.adapters = validation, model
        super().__init__(
            train_dataset=placeholder,
            eval_dataset=placeholder,
            model=model,
            data_collator=step_batch,
            **kwargs,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole steps; every process sees all of them and takes its share in
        `training_step`."""
        sampler = StepSampler(len(self.conversations), self.per_step, self.args.seed)
        return StepLoader(self.conversations, batch_sampler=sampler, collate_fn=step_batch)  # type: ignore[arg-type]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW; with LoRA+ (arXiv 2402.12354), the B matrices have a learning rate of their
        own."""
        if self.loraplus_ratio is None:
            return super().create_optimizer(model)
        self.optimizer = create_loraplus_optimizer(
            self.adapters,
            torch.optim.AdamW,
            lr=self.args.learning_rate,
            loraplus_lr_ratio=self.loraplus_ratio,
            weight_decay=self.args.weight_decay,
            fused=True,
        )
        return self.optimizer

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate the gradient of one optimiser step and return its loss, the mean over labelled
        tokens."""
        model.train()
        started = time.monotonic()
        conversations: list[Encoded] = inputs["conversations"]
        state = (
            torch.get_rng_state(),
            torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        )
        while True:
            batches = self.plan.divide(conversations)
            try:
                loss = self._accumulate(model, batches)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(conversations, error)
            model.zero_grad()
            torch.set_rng_state(state[0])
            if state[1]:
                torch.cuda.set_rng_state_all(state[1])
                torch.cuda.empty_cache()
        tokens, padding = (
            sum(batch.tokens for batch in batches),
            sum(batch.padding for batch in batches),
        )
        self.step_started = started
        self.step_record = {
            "tokens": tokens,
            "label_tokens": sum(len(batch.targets) for batch in batches),
            "conversations": len(conversations),
            "micro_batches": len(batches),
            "padding_fraction": padding / (tokens + padding),
        }
        return loss

    def _accumulate(self, model: torch.nn.Module, batches: list[MicroBatch]) -> torch.Tensor:
        labels = sum(len(batch.targets) for batch in batches)
        weight, device = (
            self.args.world_size / labels,
            self.args.device,
            # DDP averages over processes
        )
        total = torch.zeros((), device=device)
        parts = list(share(batches))
        for turn, (batch, counts) in enumerate(parts, 1):
            with nullcontext() if turn == len(parts) else self.accelerator.no_sync(model):
                loss = self._loss(model, batch, device) * (weight * counts)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _loss(
        self, model: torch.nn.Module, batch: MicroBatch, device: torch.device
    ) -> torch.Tensor:
        output = model(**model_inputs(batch, self.attention, device))
        loss: torch.Tensor = output["loss"]
        return loss

    def _halve(self, inputs: list[Encoded], error: RuntimeError) -> None:
        """Divide steps more finely from here on.

        Raises:
            PrerequisiteError: the micro-batch is a single conversation already, or other processes
                wait for this one.
        """
        if not self.plan.halve(inputs):
            longest = max(len(item.input_ids) for item in inputs)
            raise PrerequisiteError(
                "out of memory with a micro-batch that cannot be halved further (longest"
                f" conversation {longest} tokens): lower train_adapter.max_seq_length or lora_r, or"
                " set use_4bit: true"
            ) from error
        self.on_halved(
            {
                "event": "out_of_memory",
                "step": self.state.global_step,
                "halvings": self.plan.halvings,
            }
        )
        if self.args.world_size > 1:
            raise PrerequisiteError(
                "out of memory in one of several processes: run the same command again, it goes on"
                " from the last checkpoint with half the micro-batch and the same effective batch"
            ) from error
        logger.warning(
            "out of memory: micro-batch halved, accumulation doubled, same effective batch"
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the step's counts, and its time with the optimiser's update, to what is logged after
        each step."""
        if "loss" in logs:
            seconds = time.monotonic() - self.step_started
            tokens = self.step_record["tokens"]
            logs |= self.step_record | {"seconds": seconds, "tokens_per_second": tokens / seconds}
            if self.progress is not None:
                self.progress.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
                self.progress.update(tokens)
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the exact validation loss as `eval_loss`; log it and tell the callbacks, as
        `Trainer` does."""
        capacity = max(
            self.plan.size if self.plan.packing else 0,
            *(len(item.input_ids) for item in self.validation),
        )
        found = likelihood(
            self.adapters, self.validation, capacity, self.attention, self.args.device, "validation"
        )
        metrics = {"eval_loss": found.nll_sum / found.label_tokens}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the FLOPs of LoRA training are counted by `lorabench.description.flops`."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card into checkpoints; the finished adapter gets its own."""


def trainer_arguments(
    settings: TrainingSettings,
    work: Path,
    checkpointing: bool,
    cpu: bool,
    evaluation_steps: int | None,
    tracking: dict[str, Any],
) -> SFTConfig:
    """Translate the settings into trl's configuration.

    Precision is handled by the loss forward's autocast, batches by `StepPlan`; so trl sees batch 1
    and no bf16 flag.
    """
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
        use_cpu=cpu,
        activation_checkpointing=checkpointing,
        eval_strategy="steps" if evaluation_steps else "no",
        eval_steps=evaluation_steps,
        # beside the checkpoints by the minute
        save_strategy="steps" if evaluation_steps else "no",
        save_steps=evaluation_steps or 1,
        save_total_limit=2,
        load_best_model_at_end=settings.keep_best,
        metric_for_best_model="eval_loss" if evaluation_steps else None,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_steps=1,
        ddp_find_unused_parameters=False,
        **tracking,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        dataloader_num_workers=0,
        logging_nan_inf_filter=False,
    )
