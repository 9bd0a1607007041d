"""Training in short: what `train_adapter` computes, without its machinery.

    python examples/training_in_short.py MODEL_FOLDER results/demo/data/train.jsonl

It is for reading. It trains in float32, one conversation at a time, without packing, resume or care
for memory. A test holds that its losses are those of `train_adapter`.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, get_scheduler, set_seed

SCRIPTS = Path(__file__).resolve().parent.parent / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from lorabench.files import read_jsonl  # noqa: E402
from lorabench.llama import load_tokenizer  # noqa: E402
from lorabench.training.encode import IGNORED, Encoded, encode_conversations  # noqa: E402
from lorabench.training.micro_batches import StepSampler  # noqa: E402

RECIPE: dict[str, Any] = {
    "lora_r": 64,
    "lora_alpha": 128,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "conversations_per_step": 16,
    "learning_rate": 2e-4,
    "lr_scheduler": "cosine",
    "warmup_share": 0.03,
    "max_grad_norm": 1.0,
    "num_epochs": 3,
    "max_seq_length": 2048,
    "seed": 42,
}


def train(model_folder: Path, conversations: Path, recipe: dict[str, Any]) -> Iterator[float]:
    """Train a LoRA adapter and yield the loss of each optimiser step."""
    # 1. text becomes tokens; a label is IGNORED where the user or the template speaks
    tokenizer = load_tokenizer(model_folder)
    rows = ((f"row {number}", row) for number, row in read_jsonl(conversations))
    data, _ = encode_conversations(tokenizer, rows, recipe["max_seq_length"])

    # 2. the base is frozen, and each linear layer W gets alpha / r * B A, with B = 0 at first
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    set_seed(recipe["seed"])
    config = LoraConfig(
        r=recipe["lora_r"],
        lora_alpha=recipe["lora_alpha"],
        target_modules=sorted(recipe["target_modules"]),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    model.train()

    # 3. AdamW on A and B only; the learning rate rises, then falls
    adapters = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(adapters, lr=recipe["learning_rate"], weight_decay=0.0)
    sampler = StepSampler(len(data), recipe["conversations_per_step"], recipe["seed"])
    steps = len(sampler) * recipe["num_epochs"]
    warmup = math.ceil(steps * recipe["warmup_share"])
    schedule = get_scheduler(recipe["lr_scheduler"], optimiser, warmup, steps)

    # 4. each step learns from its conversations, every label with the same weight
    for epoch in range(recipe["num_epochs"]):
        sampler.set_epoch(epoch)
        for indices in sampler:
            chosen = [data[index] for index in indices]
            labels = sum(conversation.label_count for conversation in chosen)
            total = 0.0
            for conversation in chosen:
                loss = summed_loss(model, conversation) / labels
                loss.backward()
                total += loss.item()
            torch.nn.utils.clip_grad_norm_(adapters, recipe["max_grad_norm"])
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            yield total


def summed_loss(model: torch.nn.Module, conversation: Encoded) -> torch.Tensor:
    """Return the sum of -log p(token) over the labelled tokens of one conversation."""
    ids = torch.tensor([conversation.input_ids])
    labels = torch.tensor(conversation.labels)
    # (tokens, vocabulary); position t predicts token t + 1
    logits = model(input_ids=ids).logits[0]
    return cross_entropy(logits[:-1], labels[1:], ignore_index=IGNORED, reduction="sum")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the loss of each step.")
    parser.add_argument("model", type=Path, help="folder of the base model")
    parser.add_argument("conversations", type=Path, help="train.jsonl of prepare_conversations")
    arguments = parser.parse_args()
    for number, loss in enumerate(train(arguments.model, arguments.conversations, RECIPE), 1):
        print(f"step {number}: loss {loss:.4f}", flush=True)
