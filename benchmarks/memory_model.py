"""Compare the predicted peak memory of training here with what training takes, by recipe.

    python benchmarks/memory_model.py --model resources/models/SmolLM2-135M-Instruct

Each recipe trains two optimiser steps on full rows of random tokens in its own process,
computes the exact likelihood as a run does at its end, and reports the peak resident set (on a GPU:
the peak that PyTorch allocated, and what it reserved). Prints one JSON line a recipe.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.control.estimate import choose
from lorabench.control.memory_model import GLIBC_TUNABLES
from lorabench.control.preflight import device_here
from lorabench.description.flops import shapes_of
from lorabench.training.settings import TrainingSettings, parse_settings

LABEL_SHARE = 0.75
# as rules/common.smk sets it
OWN_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "GLIBC_TUNABLES": GLIBC_TUNABLES,
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
RECIPES: dict[str, dict[str, Any]] = {
    "rows of 512": {"max_seq_length": 512},
    "rows of 1024": {"max_seq_length": 1024},
    "rows of 2048": {"max_seq_length": 2048},
    "dropout 0.05": {"max_seq_length": 1024, "lora_dropout": 0.05},
    "rank 16": {"max_seq_length": 1024, "lora_r": 16, "lora_alpha": 32},
    "attention layers only": {"max_seq_length": 1024, "target_modules": ["q_proj", "v_proj"]},
    "padded, 4 rows": {"max_seq_length": 512, "packing": False},
    "float32": {"max_seq_length": 1024, "dtype": "float32"},
    "bfloat16": {"max_seq_length": 1024, "dtype": "bfloat16"},
    "bfloat16, dropout 0.05": {"max_seq_length": 1024, "dtype": "bfloat16", "lora_dropout": 0.05},
    "NF4": {"max_seq_length": 1024, "use_4bit": True},
}


def settings_of(name: str) -> TrainingSettings:
    """Return config.yaml's recipe without quantisation and dropout, changed by `name`."""
    section = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))[
        "train_adapter"
    ]
    changes = {"use_4bit": False, "lora_dropout": 0.0} | RECIPES[name]
    # rows that are full, whatever the memory
    return parse_settings(section | changes | {"row_tokens": changes["max_seq_length"]})


def train(model: Path, name: str) -> dict[str, Any]:
    """Train the recipe in this process; return its peak memory in bytes, by kind."""
    import torch

    from lorabench.files import read_json
    from lorabench.llama import load_tokenizer
    from lorabench.observation.machine import peak_memory
    from lorabench.training.encode import IGNORED, Encoded, TrainingData
    from lorabench.training.fit import Session, fit
    from lorabench.training.lora import load_frozen_base
    from lorabench.training.memory_use import keep_freed_memory

    keep_freed_memory()
    settings = settings_of(name).model_copy(
        update={"batch_size": 4, "gradient_accumulation": 1, "num_epochs": 1}
    )
    length, vocabulary = settings.max_seq_length, read_json(model / "config.json")["vocab_size"]
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(8):
        ids = torch.randint(vocabulary, (length,), generator=generator).tolist()
        start = round(length * (1 - LABEL_SHARE))
        rows.append(
            Encoded(
                id=str(len(rows)),
                input_ids=ids,
                labels=[IGNORED] * start + ids[start:],
                cut_tokens=0,
            )
        )
    data = TrainingData(train=rows, validation=rows[:2])
    base = load_frozen_base(model, settings)
    with tempfile.TemporaryDirectory() as work:
        session = Session(work=Path(work))
        fitted = fit(base, load_tokenizer(model), data, settings, session)
    trained = peak_memory()["resident_bytes"]
    fitted.trainer.likelihood(rows[:2], "likelihood")
    return peak_memory() | {"after_training": trained}


def main() -> None:
    """Run every recipe asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(train(arguments.model, arguments.recipes[0])))
        return
    shapes = shapes_of(json.loads((arguments.model / "config.json").read_text(encoding="utf-8")))
    device = device_here()
    for name in arguments.recipes:
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                "--model",
                str(arguments.model),
                "--recipes",
                name,
                "--child",
            ],
            env=os.environ | OWN_ENVIRONMENT,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        measured = json.loads(done.stdout.splitlines()[-1])
        terms = vars(choose(settings_of(name), shapes, device).memory)
        peak = measured["gpu_allocated_bytes"] or measured["resident_bytes"]
        result = {
            "recipe": name,
            "predicted": sum(terms.values()),
            "measured": peak,
            "terms": terms,
        }
        result |= {
            "ratio": result["predicted"] / peak,
            "after_training": measured["after_training"],
            "reserved": measured["gpu_reserved_bytes"],
            "used": measured["gpu_used_bytes"],
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
