"""Compare the training speed of this project with plain trl: same model, conversations, recipe and
evaluator.

    python benchmarks/train_speed.py --model resources/models/SmolLM2-135M-Instruct \
        --train results/demo/data/train.jsonl --validation results/demo/data/validation.jsonl
        --repeats 3

Each arm runs in a process of its own, the arms in turn (A B, B A, …), so that a busy machine slows
both alike. As medians over repeats: real (non-padding) tokens a second without the first step, peak
resident memory, and the exact held-out negative log-likelihood of the finished adapter, computed
for both arms by the same code.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.control.memory_model import GLIBC_TUNABLES  # noqa: E402

ARMS = ("lorabench", "trl")
OWN_ENVIRONMENT = {
    "lorabench": {"GLIBC_TUNABLES": GLIBC_TUNABLES},
    "trl": {},
    # as rules/common.smk sets it
}


def recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of both arms: config/config.yaml with the command line's changes."""
    import yaml

    settings: dict[str, Any] = yaml.safe_load(
        (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    )["train_adapter"]
    return settings | {
        "use_4bit": False,
        "lora_dropout": arguments.dropout,
        "max_seq_length": arguments.max_length,
        "num_epochs": arguments.epochs,
        "adapter_dtype": "float32",
        "save_minutes": 1000,
        "tracker": None,
    }


def run_lorabench(
    model: Path, train: list[Any], validation: list[Any], settings: dict[str, Any], work: Path
) -> list[Any]:
    """Train with this project; return (real tokens, seconds) of each step."""
    from lorabench.llama import load_tokenizer, resolve_dtype
    from lorabench.training.adapter.files import save_adapter
    from lorabench.training.fit import fit
    from lorabench.training.lora import load_frozen_base
    from lorabench.training.memory_use import keep_freed_memory
    from lorabench.training.settings import parse_settings

    keep_freed_memory()
    options, dtype = parse_settings(settings), resolve_dtype(settings["dtype"])
    base = load_frozen_base(model, dtype, options)
    fitted = fit(
        base,
        load_tokenizer(model),
        train,
        validation,
        options,
        dtype=dtype,
        checkpointing=False,
        revision=None,
        recipe={},
        work=work / "checkpoints",
    )
    import torch

    (work / "adapter").mkdir()
    save_adapter(fitted.model, work / "adapter", model.name, torch.float32)
    return [(row["tokens"], row["seconds"]) for row in fitted.log_history if "loss" in row]


def run_trl(
    model: Path, train: list[Any], validation: list[Any], settings: dict[str, Any], work: Path
) -> list[Any]:
    """Train with trl's SFTTrainer, its defaults where the recipe is silent; return the same as
    `run_lorabench`."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from lorabench.llama import load_tokenizer, resolve_dtype
    from lorabench.training.lora import lora_config
    from lorabench.training.settings import parse_settings

    options = parse_settings(settings)
    steps: list[tuple[float, float]] = []

    class Clock(TrainerCallback):
        """Note the time and the trainer's own count of tokens after each step."""

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            """Append the running totals."""
            if "num_tokens" in (logs or {}) and "loss" in logs:
                steps.append((logs["num_tokens"], time.monotonic()))

    trainer = SFTTrainer(
        model=str(model),
        args=SFTConfig(
            output_dir=str(work / "checkpoints"),
            per_device_train_batch_size=options.batch_size,
            gradient_accumulation_steps=options.gradient_accumulation,
            learning_rate=options.learning_rate,
            lr_scheduler_type=options.lr_scheduler,
            warmup_steps=options.warmup_share,
            num_train_epochs=options.num_epochs,
            max_length=options.max_seq_length,
            seed=options.seed,
            logging_steps=1,
            use_cpu=not torch.cuda.is_available(),
            bf16=resolve_dtype(settings["dtype"]) == torch.bfloat16,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_list(
            [{"input_ids": item.input_ids, "labels": item.labels} for item in train]
        ),
        processing_class=load_tokenizer(model),
        peft_config=lora_config(options, None),
        callbacks=[Clock()],
    )
    started = time.monotonic()
    trainer.train()
    trainer.save_model(str(work / "adapter"))
    totals = [(0.0, started), *steps]
    return [
        (after[0] - before[0], after[1] - before[1]) for before, after in itertools.pairwise(totals)
    ]


def run_arm(arm: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Train one arm in this process and measure its adapter."""
    import torch
    from peft import PeftModel

    from lorabench.files import read_jsonl
    from lorabench.llama import load_base, load_tokenizer
    from lorabench.training.attention import DOCUMENT_SDPA, use_attention
    from lorabench.training.encode import encode_conversations
    from lorabench.training.label_loss import install_label_loss
    from lorabench.training.likelihood import likelihood

    settings, tokenizer = recipe(arguments), load_tokenizer(arguments.model)
    sets = []
    for path, count in ((arguments.train, arguments.conversations), (arguments.validation, None)):
        rows = ((f"{path}:{number}", row) for number, row in read_jsonl(path))
        sets.append(encode_conversations(tokenizer, rows, arguments.max_length)[0][:count])
    with tempfile.TemporaryDirectory() as folder:
        run = run_lorabench if arm == "lorabench" else run_trl
        steps = run(arguments.model, sets[0], sets[1], settings, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        base = load_base(arguments.model, torch.float32)
        use_attention(base, DOCUMENT_SDPA)
        model = PeftModel.from_pretrained(base, Path(folder) / "adapter")
        install_label_loss(base, torch.float32)
        found = likelihood(
            model,
            sets[1],
            arguments.max_length,
            DOCUMENT_SDPA,
            torch.device("cpu"),
            f"{arm}: held out",
        )
    warm = steps[1:] or steps
    return {
        "tokens_per_second": (
            sum(tokens for tokens, _ in warm) / sum(seconds for _, seconds in warm)
        ),
        "tokens": sum(tokens for tokens, _ in steps),
        "peak_resident_bytes": peak,
        "held_out_nll_per_token": found.nll_sum / found.label_tokens,
    }


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both arms `repeats` times in turn, printing each; return medians, all runs and the
    ratio."""
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for repeat in range(arguments.repeats):
        for arm in ARMS if repeat % 2 == 0 else ARMS[::-1]:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--arm", arm],
                env=os.environ | {"HF_HUB_OFFLINE": "1"} | OWN_ENVIRONMENT[arm],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            runs[arm].append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps({"arm": arm, "repeat": repeat, **runs[arm][-1]}), flush=True)
    medians = {
        arm: {key: statistics.median(run[key] for run in runs[arm]) for key in runs[arm][0]}
        for arm in ARMS
    }
    speeds = [medians[arm]["tokens_per_second"] for arm in ARMS]
    return {"speed_ratio": speeds[0] / speeds[1], "medians": medians, "runs": runs}


def main() -> None:
    """Read the command line, run, and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument(
        "--conversations", type=int, default=48, help="of the training file, the first"
    )
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    print(json.dumps(run_arm(arguments.arm, arguments) if arguments.arm else compare(arguments)))


if __name__ == "__main__":
    main()
