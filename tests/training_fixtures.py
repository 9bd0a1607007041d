"""Fixtures of the training stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorabench.files import write_json, write_jsonl
from sections import section

if TYPE_CHECKING:
    from lorabench.training.encode import Encoded
    from lorabench.training.fit import Fitted

TOPICS = [
    "tides",
    "bread",
    "glaciers",
    "bicycles",
    "violins",
    "honey",
    "maps",
    "yeast",
    "lenses",
    "ferries",
]


def conversations(count: int) -> list[dict[str, Any]]:
    """Return made-up conversations of one to three turns and different lengths."""
    rows = []
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        messages = []
        for turn in range(1 + number % 3):
            messages.append(
                {"role": "user", "content": f"Question {turn} of {number}: what about {topic}?"}
            )
            answer = f"Here is what I know about {topic}. " * (1 + (number * 7 + turn) % 5)
            messages.append({"role": "assistant", "content": answer.strip()})
        rows.append({"id": f"tree-{number}", "language": "en", "messages": messages})
    return rows


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train.jsonl (10 conversations) and validation.jsonl (4)."""
    folder = tmp_path_factory.mktemp("data")
    rows = conversations(14)
    write_jsonl(folder / "train.jsonl", rows[:10])
    write_jsonl(folder / "validation.jsonl", rows[10:])
    return folder


@pytest.fixture(scope="session")
def tiny_source(tiny_model: Path) -> Path:
    """Return source.json of the tiny model."""
    return tiny_model / "source.json"


@pytest.fixture
def settings() -> dict[str, Any]:
    """Return the `train_adapter` section of the config, cut down to a run of a few seconds."""
    return section(
        "train_adapter",
        lora_r=4,
        lora_alpha=8,
        use_4bit=False,
        dtype="float32",
        batch_size=2,
        gradient_accumulation=2,
        learning_rate=1.0e-2,
        warmup_share=0.1,
        num_epochs=2,
        max_seq_length=128,
        # after every step
        save_minutes=0,
    )


def train(source: Path, prepared: Path, folder: Path, settings: dict[str, Any]) -> Path:
    """Train and describe the run "test" into `folder`; return its adapter's folder."""
    from train_adapter import train_adapter

    train_adapter(
        model=source,
        train=prepared / "train.jsonl",
        validation=prepared / "validation.jsonl",
        adapter=folder / "adapter",
        work=folder / "work",
        tracking=folder / "tracking",
        run="test",
        settings=settings,
    )
    return describe(folder / "adapter")


def encoded(base: Path) -> "list[Encoded]":
    """Return ten encoded conversations."""
    from lorabench.llama import load_tokenizer
    from lorabench.training.encode import encode_conversations

    rows = (("here", row) for row in conversations(10))
    return encode_conversations(load_tokenizer(base), rows, 128)[0]


def fit_ten(base: Path, work: Path, settings: dict[str, Any]) -> "Fitted":
    """Train on ten conversations, without the script around."""
    from lorabench.llama import load_tokenizer
    from lorabench.training.encode import TrainingData
    from lorabench.training.fit import Session, fit
    from lorabench.training.lora import load_frozen_base
    from lorabench.training.settings import parse_settings

    options, items = parse_settings(settings), encoded(base)
    return fit(
        load_frozen_base(base, options),
        load_tokenizer(base),
        TrainingData(train=items, validation=items[:3]),
        options,
        Session(work=work),
    )


def logged(fitted: "Fitted", key: str = "loss") -> list[float]:
    """Return a value of each row of the trainer's log that has it."""
    return [row[key] for row in fitted.trainer.state.log_history if key in row]


def describe(adapter: Path) -> Path:
    """Write the describing files into the folder of an adapter and return the folder."""
    from describe_adapter import describe_adapter

    source = adapter.parent / "conversations.json"
    write_json(source, {"kind": "hub", "origin": "OpenAssistant/oasst1@0123"})
    describe_adapter(
        record=adapter / "training_record.json",
        conversations_source=source,
        metrics=adapter / "train_metrics.json",
        config=adapter / "run_config.json",
        card=adapter / "README.md",
    )
    return adapter


def make_adapter(base: Path, folder: Path) -> Path:
    """Write a random adapter of rank 4 for the model in `base` and return its folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False
    )
    get_peft_model(model, config).save_pretrained(str(folder))
    return folder
