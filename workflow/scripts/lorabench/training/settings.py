"""The config sections of the training stage: what their keys are, and which values are refused."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lorabench.context import context_length
from lorabench.errors import ConfigurationError
from lorabench.section import (
    MOST,
    Count,
    Distinct,
    Dtype,
    Few,
    LocalPath,
    Section,
    Seed,
    Share,
    Text,
)


class TrainingSettings(Section):
    """LoRA or QLoRA fine-tuning."""

    lora_r: int = Field(ge=1, le=16_384)
    """Rank of the adapter."""
    lora_alpha: float = Field(gt=0, le=MOST)
    """Scale: updates are multiplied by lora_alpha / lora_r."""
    lora_dropout: float = Field(ge=0, lt=1)
    """Dropout on the adapter's input."""
    use_rslora: bool
    """Multiply updates by lora_alpha / sqrt(lora_r) instead (rsLoRA); lower the learning rate with
    it."""
    use_dora: bool
    """Train the magnitude of each weight as well as its direction (DoRA); slower."""
    loraplus_ratio: float | None = Field(gt=0, le=MOST)
    """Learning rate of the B matrices over that of A (LoRA+); null = the same."""
    neftune_alpha: float | None = Field(gt=0, le=MOST)
    """Strength of the noise on embeddings while training (NEFTune); null = none."""
    target_modules: Distinct[Text] = Field(min_length=1)
    """Names of the linear layers that get an adapter."""
    use_4bit: bool | Literal["auto"]
    """QLoRA: base weights in NF4, double quantised; auto = only where 16-bit weights take more than
    a third of the free memory."""
    dtype: Dtype
    """Of the base weights and the arithmetic; auto = bfloat16 where the machine multiplies it fast,
    else float32."""
    compile: bool | Literal["auto"]
    """Compile the decoder layers; auto = on a GPU where a compiler is present."""
    memory: Literal["least", "auto", "most"]
    """least = the shortest rows and all activations computed again; auto = rows of up to 8,192
    tokens, as many activations kept as fit; most = the longest rows that fit."""
    fsdp: bool
    """With several GPUs (gpu=N in the profile): true = each holds a part of the base's layers,
    false = each holds the whole base. Needs use_4bit: false."""
    batch_size: Count
    """Conversations a forward pass (BATCH_SIZE)."""
    gradient_accumulation: Count
    """Forward passes an optimiser step."""
    packing: bool
    """Join conversations into full rows without mixing their attention; the tokens an optimiser
    step stay those of the unpacked recipe."""
    row_tokens: Annotated[int, Field(ge=8, le=MOST)] | Literal["auto"]
    """Tokens of a packed row, whatever the recipe's step; auto = by `memory` on a GPU,
    max_seq_length on a CPU."""
    learning_rate: float = Field(gt=0, le=10)
    """Peak learning rate."""
    lr_scheduler: Literal["constant", "linear", "cosine"]
    """Schedule after the warm-up."""
    warmup_share: Share
    """Share of steps with a rising learning rate."""
    weight_decay: float = Field(ge=0, le=10)
    """Of AdamW, on the adapter."""
    max_grad_norm: float = Field(gt=0, le=1e9)
    """Gradients are scaled down to this norm."""
    num_epochs: float = Field(gt=0, le=1000)
    """Passes over the training conversations."""
    max_seq_length: int = Field(ge=8, le=MOST)
    """Tokens; longer conversations are cut at the end and counted."""
    evaluations_per_epoch: Few
    """Exact validation losses during training; 0 = only before and after."""
    early_stopping_patience: int | None = Field(ge=1)
    """Stop after this many evaluations without a lower loss; null = never."""
    keep_best: bool
    """End with the adapter of the lowest validation loss instead of the last."""
    adapter_dtype: Literal["float32", "bfloat16"]
    """Of the adapter's saved weights; its likelihoods are measured as saved."""
    save_minutes: float = Field(ge=0, le=MOST)
    """Minutes between checkpoints; a killed run loses at most this much work; 0 = after every step.
    A change reruns nothing."""
    tracker: Literal["trackio", "mlflow", "wandb", "tensorboard"] | None
    """Experiment tracker that also gets steps and evaluations, in `logs/tracking`, offline unless
    its own variables say otherwise; null = none. A change reruns nothing."""
    seed: Seed
    """Of the adapter's start, data order and dropout."""


def _file_size(text: str) -> str:
    if not re.fullmatch("[1-9][0-9]*(KB|MB|GB)", text):
        raise ValueError(f"expected a size such as 5GB, found {text!r}")
    return text


class MergeSettings(Section):
    """Base + adapter -> one checkpoint."""

    dtype: Dtype
    """Of the saved weights; merged in float32 and cast once."""
    max_shard_size: Annotated[str, AfterValidator(_file_size)]
    """Largest weight file, e.g. 5GB."""
    max_logit_difference: float = Field(gt=0, le=100)
    """The rule fails where a logit of lora and merged, both in float32, differs by more."""


class ImportSettings(Section):
    """Use an adapter trained elsewhere."""

    path: LocalPath | None
    """Folder with adapter_config.json and adapter_model.safetensors; null = train one
    (ADAPTER_PATH)."""


def parse_settings(section: dict[str, Any]) -> TrainingSettings:
    """Turn the config section into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not what the key takes.
    """
    return TrainingSettings.parse_section(section, "train_adapter")


def check_length(max_length: int, model_config: Mapping[str, Any]) -> None:
    """Check that the base model reads sequences of `max_length` tokens.

    Raises:
        ConfigurationError: its config.json names fewer positions; what a model computes beyond them
            means nothing.
    """
    room = context_length(model_config)
    if room is not None and max_length > room:
        raise ConfigurationError(
            f"train_adapter.max_seq_length is {max_length}, but the base model reads {room} tokens:"
            f" set it to {room} or less"
        )
