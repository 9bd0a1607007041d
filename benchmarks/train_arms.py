"""The arms of train_speed.py: one recipe trained by this project, trl and unsloth."""

import importlib.util
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """What an arm did."""

    # real tokens and seconds of each optimiser step
    steps: list[tuple[float, float]]
    losses: list[float]
    # in words
    how: dict[str, Any]


def run_lorabench(
    model: Path, train: list[Any], settings: dict[str, Any], work: Path, arm: str
) -> Run:
    """Train with this project; the adapter is left in `work`."""
    import torch

    from lorabench.llama import load_tokenizer
    from lorabench.training.adapter.files import save_adapter
    from lorabench.training.encode import TrainingData
    from lorabench.training.fit import Session, fit
    from lorabench.training.lora import choose_4bit, load_frozen_base
    from lorabench.training.memory_use import keep_freed_memory
    from lorabench.training.settings import parse_settings

    keep_freed_memory()
    options = choose_4bit(parse_settings(settings), model)
    fitted = fit(
        load_frozen_base(model, options),
        load_tokenizer(model),
        TrainingData(train=train, validation=train[:1]),
        options,
        Session(work=work / "checkpoints"),
    )
    (work / "adapter").mkdir()
    save_adapter(fitted.trainer.adapters, work / "adapter", model.name, torch.float32)
    rows = [row for row in fitted.trainer.state.log_history if "loss" in row]
    return Run(
        steps=[(row["tokens"], row["seconds"]) for row in rows],
        losses=[row["loss"] for row in rows],
        how=fitted.resolved,
    )


def clock() -> Any:
    """Return a callback with `totals` (tokens and time after each step) and `losses`."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Note the totals."""

        def __init__(self) -> None:
            self.totals: list[tuple[float, float]] = []
            self.losses: list[float] = []

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            """Start."""
            self.totals = [(0.0, time.monotonic())]

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            """Append the running totals."""
            if "num_tokens" in (logs or {}) and "loss" in logs:
                self.totals.append((logs["num_tokens"], time.monotonic()))
                self.losses.append(logs["loss"])

        def steps(self) -> list[tuple[float, float]]:
            """Return tokens and seconds of each step."""
            return [
                (after[0] - before[0], after[1] - before[1])
                for before, after in itertools.pairwise(self.totals)
            ]

    return Clock()


def sft_arguments(
    train: list[Any], settings: dict[str, Any], work: Path, default: bool
) -> dict[str, Any]:
    """Return the arguments of trl's SFTConfig.

    Packed rows are as many a step as hold the recipe's conversations.
    """
    import torch

    from lorabench.llama import resolve_dtype

    chosen: dict[str, Any] = {
        "per_device_train_batch_size": settings["batch_size"],
        "gradient_accumulation_steps": settings["gradient_accumulation"],
    }
    if not default:
        per_step = settings["batch_size"] * settings["gradient_accumulation"]
        mean = sum(len(item.input_ids) for item in train) / len(train)
        chosen = {
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": max(
                1, round(per_step * mean / settings["max_seq_length"])
            ),
            "packing": True,
            "packing_strategy": "bfd",
            "gradient_checkpointing": False,
        }
    return chosen | {
        "output_dir": str(work / "checkpoints"),
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": settings["lr_scheduler"],
        "warmup_steps": settings["warmup_share"],
        "num_train_epochs": settings["num_epochs"],
        "max_length": settings["max_seq_length"],
        "seed": settings["seed"],
        "logging_steps": 1,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": resolve_dtype(settings["dtype"]) == torch.bfloat16,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def data_set(train: list[Any]) -> Any:
    """Return the conversations as trl takes them."""
    from datasets import Dataset

    return Dataset.from_list(
        [{"input_ids": item.input_ids, "labels": item.labels} for item in train]
    )


def run_trl(model: Path, train: list[Any], settings: dict[str, Any], work: Path, arm: str) -> Run:
    """Train with trl's SFTTrainer, by default or packed with all activations kept.

    Packed with FlashAttention where flash-attn is installed; "trl-kernels" with the hub's fused
    kernels besides, which must be in the hub's cache already.
    """
    import torch
    from trl import SFTConfig, SFTTrainer

    from lorabench.llama import four_bit, load_tokenizer
    from lorabench.training.lora import lora_config
    from lorabench.training.settings import parse_settings

    default = "default" in arm
    start: dict[str, Any] = {}
    if torch.cuda.is_available():
        start = {"dtype": torch.bfloat16, "device_map": {"": 0}}
    if settings["use_4bit"]:
        start["quantization_config"] = four_bit()
    if not default and torch.cuda.is_available():
        if importlib.util.find_spec("flash_attn"):
            start["attn_implementation"] = "flash_attention_2"
        if "kernels" in arm:
            start["use_kernels"] = True
    timer = clock()
    trainer = SFTTrainer(
        model=str(model),
        args=SFTConfig(**sft_arguments(train, settings, work, default), model_init_kwargs=start),
        train_dataset=data_set(train),
        processing_class=load_tokenizer(model),
        peft_config=lora_config(parse_settings(settings), None),
        callbacks=[timer],
    )
    trainer.train()
    trainer.save_model(str(work / "adapter"))
    return Run(
        steps=timer.steps(),
        losses=timer.losses,
        how={"packing": not default} | {key: str(value) for key, value in start.items()},
    )


def run_unsloth(
    model: Path, train: list[Any], settings: dict[str, Any], work: Path, arm: str
) -> Run:
    """Train with unsloth, padded, without dropout, for its fast kernels. (Not run here.)"""
    # unsloth wants to be imported first
    import torch
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel  # type: ignore[import-not-found]

    per_step = settings["batch_size"] * settings["gradient_accumulation"]
    base, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(model),
        max_seq_length=settings["max_seq_length"],
        load_in_4bit=settings["use_4bit"],
        dtype=torch.bfloat16,
    )
    adapted = FastLanguageModel.get_peft_model(
        base,
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=0.0,
        target_modules=settings["target_modules"],
        use_gradient_checkpointing="unsloth" if settings["use_4bit"] else False,
        random_state=settings["seed"],
    )
    timer = clock()
    arguments = sft_arguments(train, settings, work, default=True)
    arguments |= {"per_device_train_batch_size": per_step, "gradient_accumulation_steps": 1}
    trainer = SFTTrainer(
        model=adapted,
        args=SFTConfig(**arguments),
        train_dataset=data_set(train),
        processing_class=tokenizer,
        callbacks=[timer],
    )
    trainer.train()
    trainer.save_model(str(work / "adapter"))
    return Run(steps=timer.steps(), losses=timer.losses, how={})
