"""Compare training speed with trl and unsloth, each arm in another process.

On a GPU, without a hub. Each target of speed and memory is a row of the table of

    python benchmarks/train_speed.py --random-shapes llama3-8b --json speed-8b.json

- bfloat16 tokens/s, and over trl's: "lorabench-bf16" against "trl-default-bf16", "trl-bf16" and
  "trl-kernels-bf16"
- NF4 tokens/s, and over trl's: "lorabench" against "trl-default", "trl" and "trl-kernels"
- NF4 in the least memory, allocated and tokens/s: "lorabench-least" against "trl-default"
- reserved over allocated memory, first step with its compilation: the columns of these rows
- predicted time and memory: the two columns "predicted", also with the other shapes that are
  measured by

    python benchmarks/train_speed.py --random-shapes llama3.2-3b --json speed-3b.json
    python benchmarks/train_speed.py --random-shapes llama3.2-1b --json speed-1b.json

On a CPU, with a real model, where the adapters are compared too:

    python benchmarks/train_speed.py --model resources/models/SmolLM2-135M-Instruct \
        --train results/demo/data/train.jsonl --validation results/demo/data/validation.jsonl \
        --arms lorabench trl --repeats 3 --conversations 48 --dropout 0

The arms run in turn (A B, B A, …), so that a busy machine slows all alike. As medians over repeats:
real (non-padding) tokens a second without the first steps, the share of the device's peak, time of
the first step, memory that PyTorch allocated and reserved and that the device had in use, resident
memory, first losses, and with --validation the exact held-out negative log-likelihood of the
finished adapter, computed for all arms by the same code. Prints one table and, with --json, writes
all figures.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from random_llama import SHAPES, checkpoint_of, made_checkpoint, random_conversations
from train_arms import Run, run_lorabench, run_trl, run_unsloth

from lorabench.control.memory_model import GLIBC_TUNABLES

# Arm -> what differs from config/config.yaml's recipe. trl packs in its fastest legal setting;
# "trl-default" is what its user gets without a word.
ARMS: dict[str, dict[str, Any]] = {
    "lorabench": {},
    "lorabench-eager": {"compile": False},
    "lorabench-least": {"memory": "least"},
    "lorabench-bf16": {"use_4bit": False},
    "lorabench-bf16-eager": {"use_4bit": False, "compile": False},
    "trl": {},
    "trl-kernels": {},
    "trl-default": {},
    "trl-bf16": {"use_4bit": False},
    "trl-kernels-bf16": {"use_4bit": False},
    "trl-default-bf16": {"use_4bit": False},
    "unsloth": {"lora_dropout": 0.0},
    "unsloth-bf16": {"lora_dropout": 0.0, "use_4bit": False},
}
# as rules/common.smk sets it
OWN_ENVIRONMENT = {
    "GLIBC_TUNABLES": GLIBC_TUNABLES,
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
COLUMNS = {
    "tokens_per_second": ("tokens/s", 1, ".0f"),
    "predicted_tokens_per_second": ("predicted", 1, ".0f"),
    "share_of_peak": ("of peak", 0.01, ".1f"),
    "first_step_seconds": ("first step, s", 1, ".1f"),
    "gpu_allocated_bytes": ("allocated, GB", 1e9, ".1f"),
    "predicted_bytes": ("predicted, GB", 1e9, ".1f"),
    "gpu_reserved_bytes": ("reserved, GB", 1e9, ".1f"),
    "gpu_used_bytes": ("used, GB", 1e9, ".1f"),
    "resident_bytes": ("resident, GB", 1e9, ".1f"),
    "held_out_nll_per_token": ("held-out NLL", 1, ".4f"),
}


def recipe(arguments: argparse.Namespace, arm: str) -> dict[str, Any]:
    """Return an arm's settings: the config's recipe with changes."""
    import torch
    import yaml

    settings: dict[str, Any] = yaml.safe_load(
        (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    )["train_adapter"]
    changes = {"num_epochs": arguments.epochs, "max_seq_length": arguments.max_length}
    if arguments.dropout is not None:
        changes["lora_dropout"] = arguments.dropout
    if not torch.cuda.is_available():
        # NF4 is no gain on a CPU
        changes["use_4bit"] = False
    fixed = {"adapter_dtype": "float32", "save_minutes": 1000, "tracker": None}
    return settings | changes | fixed | ARMS[arm]


def run_arm(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one arm in this process, and measure it."""
    import torch

    from lorabench.files import read_json
    from lorabench.observation.machine import peak_memory

    model, settings = arguments.model, recipe(arguments, arm)
    if arguments.train:
        train = encoded(model, arguments.train, arguments.max_length)[: arguments.conversations]
    else:
        vocabulary = read_json(model / "config.json")["vocab_size"]
        train = random_conversations(arguments.conversations, vocabulary, arguments.max_length)
    with tempfile.TemporaryDirectory() as folder:
        run = {"lorabench": run_lorabench, "trl": run_trl, "unsloth": run_unsloth}[
            arm.partition("-")[0]
        ]
        done = run(model, train, settings, Path(folder), arm)
        memory = peak_memory()
        found = speed(done, arguments.warm_up) | memory
        found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        if torch.cuda.is_available():
            found |= share_of_peak(found["tokens_per_second"], train, settings, model)
        if arm.startswith("lorabench"):
            found |= prediction(train, settings, model)
        if arguments.validation:
            validation = encoded(model, arguments.validation, arguments.max_length)
            adapter = Path(folder) / "adapter"
            found["held_out_nll_per_token"] = held_out(model, adapter, validation, settings)
    return found


def encoded(model: Path, conversations: Path, longest: int) -> list[Any]:
    """Return prepared conversations as tokens."""
    from lorabench.files import read_jsonl
    from lorabench.llama import load_tokenizer
    from lorabench.training.encode import encode_conversations

    rows = ((f"{conversations}:{number}", row) for number, row in read_jsonl(conversations))
    return encode_conversations(load_tokenizer(model), rows, longest)[0]


def speed(run: Run, warm_up: int) -> dict[str, Any]:
    """Return tokens a second without the first steps, and what those took."""
    warm = run.steps[warm_up:] or run.steps
    return {
        "tokens_per_second": (
            sum(tokens for tokens, _ in warm) / sum(seconds for _, seconds in warm)
        ),
        "tokens": sum(tokens for tokens, _ in run.steps),
        "first_step_seconds": run.steps[0][1],
        "losses": run.losses[:20],
        "how": run.how,
    }


def share_of_peak(
    tokens_per_second: float, train: list[Any], settings: dict[str, Any], model: Path
) -> dict[str, Any]:
    """Return the recipe's arithmetic as a share of a GPU's peak, recomputation left out."""
    import torch

    from lorabench.description.flops import shapes_of, training_flops
    from lorabench.description.gpus import known_gpu
    from lorabench.files import read_json

    shapes = shapes_of(read_json(model / "config.json"))
    tokens = sum(len(item.input_ids) for item in train)
    flops = training_flops(
        shapes,
        shapes.adapter_parameters(settings["lora_r"], settings["target_modules"]),
        tokens,
        sum(item.label_count for item in train),
        sum(len(item.input_ids) ** 2 for item in train),
        0.0,
    )
    rate = flops / tokens * tokens_per_second
    known = known_gpu(torch.cuda.get_device_name())
    return {"share_of_peak": rate / known.bfloat16_flops if known else None}


def prediction(train: list[Any], settings: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return what `make doctor` predicts of this training on this device, if it knows it."""
    import torch

    from lorabench.control.estimate import estimate, this_cpu
    from lorabench.description.gpus import known_gpu
    from lorabench.files import read_json

    on_gpu = torch.cuda.is_available()
    device = known_gpu(torch.cuda.get_device_name()) if on_gpu else this_cpu()
    if device is None:
        return {}
    tokens = sum(len(item.input_ids) for item in train)
    data = {"train_conversations": len(train), "train_tokens": tokens}
    found = estimate(settings, read_json(model / "config.json"), data, device)
    return {
        "predicted_tokens_per_second": settings["num_epochs"] * tokens / found.seconds,
        "predicted_bytes": found.peak_memory_bytes,
    }


def held_out(model: Path, adapter: Path, validation: list[Any], settings: dict[str, Any]) -> float:
    """Return the mean negative log-likelihood of the labels under a saved adapter, in float32."""
    import torch
    from peft import PeftModel

    from lorabench.llama import device, load_base
    from lorabench.training.attention import DOCUMENT_SDPA, use_attention
    from lorabench.training.label_loss import install_label_loss
    from lorabench.training.likelihood import likelihood
    from lorabench.training.micro_batches import Rows

    base = load_base(model, torch.float32)
    use_attention(base, DOCUMENT_SDPA)
    adapted = PeftModel.from_pretrained(base, adapter)
    install_label_loss(base, torch.float32)
    longest = settings["max_seq_length"]
    rows = Rows(capacity=longest, longest=longest)
    nll = likelihood(adapted, validation, rows, DOCUMENT_SDPA, device(), "held out")
    return sum(nll) / sum(item.label_count for item in validation)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the arms `repeats` times in turn; return medians and all runs.

    The file of --json is written after each arm, so that a run that is ended early leaves a part.
    """
    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arguments.arms}
    found: dict[str, Any] = {}
    for repeat in range(arguments.repeats):
        for arm in arguments.arms if repeat % 2 == 0 else arguments.arms[::-1]:
            environment = os.environ | {"HF_HUB_OFFLINE": "1"}
            if arm.startswith("lorabench"):
                environment |= OWN_ENVIRONMENT
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--arm", arm],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            # an arm that fails, as for lack of memory, leaves the others
            if done.returncode:
                print(f"{arm}: failed", file=sys.stderr)
            else:
                runs[arm].append(json.loads(done.stdout.splitlines()[-1]))
            medians = {name: medians_of(rows) for name, rows in runs.items() if rows}
            found = {"medians": medians, "runs": runs}
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def medians_of(found: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the median of each column over the runs of an arm."""
    result: dict[str, float | None] = {}
    for key in COLUMNS:
        values = [run[key] for run in found if run.get(key) is not None]
        result[key] = statistics.median(values) if values else None
    return result


def table(medians: dict[str, dict[str, float | None]]) -> str:
    """Return the medians as a Markdown table."""
    shown = [key for key in COLUMNS if any(row[key] is not None for row in medians.values())]
    lines = [
        "| " + " | ".join(["arm", *(COLUMNS[key][0] for key in shown)]) + " |",
        "| --- " * (len(shown) + 1) + "|",
    ]
    for arm, row in medians.items():
        cells = []
        for key in shown:
            value, (_, unit, layout) = row[key], COLUMNS[key]
            cells.append("" if value is None else format(value / unit, layout))
        lines.append("| " + " | ".join([arm, *cells]) + " |")
    return "\n".join(lines)


def installed_arms() -> list[str]:
    """Return the arms whose packages are here."""
    absent = [name for name in ("unsloth", "kernels") if importlib.util.find_spec(name) is None]
    return [arm for arm in ARMS if not any(name in arm for name in absent)]


def usual_arms() -> list[str]:
    """Return all arms on a GPU, and one a project on a CPU."""
    import torch

    return installed_arms() if torch.cuda.is_available() else ["lorabench", "trl", "trl-default"]


def main() -> None:
    """Read the command line, run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--model", type=Path, help="checkpoint folder")
    given.add_argument("--random-shapes", choices=list(SHAPES), help="random weights instead")
    parser.add_argument("--train", type=Path, help="prepared conversations; else random tokens")
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS))
    parser.add_argument("--conversations", type=int, default=160, help="the first of the file")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--dropout", type=float, help="else that of config/config.yaml")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=2, help="first steps that are left out")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--arm", choices=list(ARMS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.random_shapes:
        arguments.model = checkpoint_of(arguments.random_shapes)
    if arguments.arm:
        print(json.dumps(run_arm(arguments.arm, arguments)))
        return
    if arguments.random_shapes:
        made_checkpoint(arguments.random_shapes)
    arguments.arms = arguments.arms or usual_arms()
    print(table(compare(arguments)["medians"]))


if __name__ == "__main__":
    main()
