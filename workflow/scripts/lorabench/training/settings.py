"""The settings of adapter training: the config section `train_adapter` as a frozen dataclass."""

from dataclasses import dataclass, fields
from typing import Any

from lorabench.errors import ConfigurationError

# Keys that change no result: another value of them reruns nothing.
FREE_SETTINGS = ("save_minutes", "tracker")
# Keys that first count after the last step: checkpoints made under another value go on.
LATE_SETTINGS = ("adapter_dtype",)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Every key of the section; meanings and units stand in config/config.yaml, which alone holds
    the defaults."""

    lora_r: int
    lora_alpha: int
    lora_dropout: float
    use_rslora: bool
    use_dora: bool
    loraplus_ratio: float | None
    neftune_alpha: float | None
    target_modules: list[str]
    # "auto" or a boolean, as are `compile` and `row_tokens` ("auto" or a number)
    use_4bit: bool | str
    dtype: str
    compile: bool | str
    memory: str
    fsdp: bool
    batch_size: int
    gradient_accumulation: int
    packing: bool
    row_tokens: int | str
    learning_rate: float
    lr_scheduler: str
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    num_epochs: float
    max_seq_length: int
    evaluations_per_epoch: int
    early_stopping_patience: int | None
    keep_best: bool
    adapter_dtype: str
    save_minutes: float
    tracker: str | None
    seed: int

    def evaluation_steps(self, conversations: int) -> int | None:
        """Return the optimiser steps between two evaluations for a training set of this size; None
        = no evaluations."""
        if not self.evaluations_per_epoch:
            return None
        return max(
            1, -(-conversations // self.conversations_per_step) // self.evaluations_per_epoch
        )

    @property
    def conversations_per_step(self) -> int:
        """Conversations that one optimiser step learns from, over all processes."""
        return self.batch_size * self.gradient_accumulation


def parse_settings(section: dict[str, Any]) -> TrainingSettings:
    """Turn the config section into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, or keys contradict each other.
    """
    known = {field.name for field in fields(TrainingSettings)}
    if unknown := sorted(set(section) - known):
        raise ConfigurationError(
            f"train_adapter.{unknown[0]}: unknown key; valid keys: {', '.join(sorted(known))}"
        )
    if missing := sorted(known - set(section)):
        raise ConfigurationError(f"train_adapter.{missing[0]}: key missing")
    settings = TrainingSettings(**section)
    if (
        settings.early_stopping_patience or settings.keep_best
    ) and not settings.evaluations_per_epoch:
        raise ConfigurationError(
            "train_adapter.evaluations_per_epoch is 0, but early_stopping_patience and keep_best"
            " compare evaluations; set it to 1"
        )
    if settings.fsdp and settings.use_4bit is True:
        raise ConfigurationError(
            "train_adapter.fsdp divides weights among GPUs, which packed 4-bit weights do not"
            " allow: set use_4bit: false, or fsdp: false (each GPU then holds the whole 4-bit base)"
        )
    return settings
