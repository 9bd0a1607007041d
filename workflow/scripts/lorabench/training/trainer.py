"""The training loop: trl's SFTTrainer, with steps divided into passes that waste nothing.

From a batch to its loss: `training_step` divides the step's conversations into micro-batches
(`StepPlan.divide`), `_accumulate` takes this process's share of them, `_loss` gives one to the
model, whose forward is that of `install_label_loss`.
"""

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from lorabench.observation.progress import Progress
from lorabench.observation.steps import StepMeter
from lorabench.training.activations import decoder_layers, recompute_activations, recomputed_layers
from lorabench.training.checkpoints import SaveByTheMinute, add_to_history
from lorabench.training.checks import refuse_large_conversation, refuse_to_go_on
from lorabench.training.encode import Encoded, TrainingData
from lorabench.training.likelihood import likelihood
from lorabench.training.memory_use import is_out_of_memory
from lorabench.training.micro_batches import MicroBatch, StepLoader, StepPlan, StepSampler
from lorabench.training.processes import share
from lorabench.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


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
    ) -> None:
        """Take a model with adapters, and encoded conversations in place of a data set.

        The tokenizer is for the checkpoints.
        """
        self.adapters, self.data, self.settings = model, data, settings
        # conversations of an optimiser step, over all processes
        self.per_step = settings.batch_size * settings.gradient_accumulation
        self.plan, self.attention = plan, attention
        self.meter = StepMeter(arguments.device)
        tokens = sum(len(item.input_ids) for item in data.train)
        callbacks = [
            SaveByTheMinute(settings.save_minutes),
            Progress(round(settings.num_epochs * tokens)),
        ]
        if settings.early_stopping_patience:
            callbacks.append(EarlyStoppingCallback(settings.early_stopping_patience))
        # trl wants a data set; the batches come from get_train_dataloader
        placeholder = Dataset.from_dict({"input_ids": [[0]], "labels": [[0]]})
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=placeholder,
            eval_dataset=placeholder,
            processing_class=tokenizer,
            data_collator=list,  # type: ignore[arg-type]
            callbacks=callbacks,
        )
        # `Progress` shows the steps
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole steps; every process takes its share of them in `training_step`."""
        sampler = StepSampler(len(self.data.train), self.per_step, self.args.seed)
        return StepLoader(self.data.train, batch_sampler=sampler, collate_fn=list)  # type: ignore[arg-type]

    def get_batch_samples(self, *args: Any) -> Any:
        """Return the next step's batch, timed."""
        with self.meter.preparing_data():
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
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate one step's gradient and return its loss, the mean over labelled tokens."""
        model.train()
        self.meter.step_begins()
        conversations: list[Encoded] = inputs
        random_numbers = torch.get_rng_state(), torch.cuda.get_rng_state_all()
        while True:
            with self.meter.preparing_data():
                batches = self.plan.divide(conversations)
            try:
                loss = self._accumulate(model, batches)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less_memory(conversations)
            # outside of the except block, where the error still holds the failed pass's tensors
            model.zero_grad()
            torch.cuda.empty_cache()
            torch.set_rng_state(random_numbers[0])
            torch.cuda.set_rng_state_all(random_numbers[1])
        self.meter.count(conversations, batches)
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
                loss = self._loss(model, batch) * (weight * counts)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _loss(self, model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
        loss: torch.Tensor = model(**batch.model_inputs(self.attention, self.args.device))["loss"]
        return loss

    def _take_less_memory(self, conversations: list[Encoded]) -> None:
        """Compute activations again, or divide steps more finely, from here on."""
        event: dict[str, Any] = {"event": "out_of_memory", "step": self.state.global_step}
        # short rows first where they are long: that costs least
        tokens = 0 if self.plan.padded_rows else self.plan.size >> self.plan.halvings
        long_rows = tokens > self.settings.max_seq_length
        if not long_rows and recomputed_layers(self.adapters) < len(decoder_layers(self.adapters)):
            recompute_activations(self.adapters)
            event["activation_checkpointing"] = True
            change = "activations are computed again in the backward pass"
        elif self.plan.halve(conversations):
            event["halvings"] = self.plan.halvings
            change = "micro-batch halved, accumulation doubled"
        else:
            refuse_large_conversation(max(len(item.input_ids) for item in conversations))
        add_to_history(Path(str(self.args.output_dir)), event)
        if self.args.world_size > 1:
            refuse_to_go_on(change)
        logger.warning("out of memory: %s, same effective batch", change)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the step's counts and time to what is logged after each step."""
        if "loss" in logs:
            logs |= self.meter.step()
        super().log(logs, start_time)

    def likelihood(self, conversations: Sequence[Encoded], description: str) -> list[float]:
        """Return the exact loss of each conversation in nats; see `likelihood`."""
        given = (self.plan.rows, self.attention, self.args.device, description)
        return likelihood(self.adapters, conversations, *given)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return and log the exact validation loss as `eval_loss`, as `Trainer` does."""
        nll = self.likelihood(self.data.validation, "validation")
        labels = sum(item.label_count for item in self.data.validation)
        metrics = {"eval_loss": math.fsum(nll) / labels}
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


def trainer_arguments(
    settings: TrainingSettings, conversations: int, work: Path, training: str
) -> SFTConfig:
    """Translate the settings into trl's configuration; `training` names a tracker's run.

    Precision is handled by the loss forward's autocast, batches by `StepPlan`, activation
    checkpointing by `recompute_activations`; so trl sees batch 1 and none of these flags.
    """
    steps = -(-conversations // (settings.batch_size * settings.gradient_accumulation))
    evaluations = settings.evaluations_per_epoch
    evaluation_steps = max(1, steps // evaluations) if evaluations else None
    constant = settings.lr_scheduler == "constant"
    return SFTConfig(
        output_dir=str(work),
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if constant else settings.lr_scheduler,
        warmup_steps=settings.warmup_share,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        num_train_epochs=settings.num_epochs,
        optim="adamw_torch_fused",
        seed=settings.seed,
        bf16=False,
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
        logging_nan_inf_filter=False,
    )
