"""Measure what this project aims at on one GPU of the H100's class, and put it into one table.

    make bench-gpu                                          all parts, about an hour
    python benchmarks/gpu_table.py --parts train-bf16 decode    these; at most 10 minutes a part
    python benchmarks/gpu_table.py --shapes tiny --other-shapes tiny    the whole path on a CPU

Random weights, so no hub. Each part is another program of this folder, which is ended after its
time limit; what it found until then counts. Results are kept in `--folder`: {part}.out, {part}.log,
{part}.json of trainings, and table.md and table.json of all parts that were run so far. A part that
is run again replaces its results.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(HERE)]

from random_llama import SHAPES, checkpoint_of, made_checkpoint
from train_speed import COLUMNS, installed_arms, table

from lorabench.control.evaluation_time import SOLUTION_TOKENS
from lorabench.control.forecast import ANSWER_TOKENS

TRAINING = {
    "train-bf16": ["lorabench-bf16", "trl-default-bf16", "trl-bf16"],
    "train-nf4": ["lorabench", "trl-default", "trl"],
    "train-least": ["lorabench-least"],
    "train-other-packages": ["trl-kernels-bf16", "trl-kernels", "unsloth-bf16", "unsloth"],
}
OTHER_ARMS = ["lorabench-bf16", "lorabench"]
# of the published benchmarks: questions, problems, turns of MT-Bench and instructions
MMLU, GSM8K, ANSWERS = 14_042, 1_319, 160 + 805
SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of the table."""

    question: str
    # None = not measured, or not known
    found: float | None
    # the target in words; empty = only reported
    wanted: str
    holds: Callable[[float], bool] = lambda _: True

    @property
    def line(self) -> dict[str, Any]:
        """Return the line as it is written."""
        met = None if self.found is None or not self.wanted else bool(self.holds(self.found))
        return {"question": self.question, "target": self.wanted, "found": self.found, "met": met}


def at_least(question: str, found: float | None, limit: float) -> Target:
    """Return a line that wants no less than `limit`."""
    return Target(
        question=question, found=found, wanted=f">= {limit:,g}", holds=lambda value: value >= limit
    )


def at_most(question: str, found: float | None, limit: float) -> Target:
    """Return a line that wants no more than `limit`."""
    return Target(
        question=question, found=found, wanted=f"<= {limit:,g}", holds=lambda value: value <= limit
    )


def within(question: str, found: float | None, middle: float, distance: float) -> Target:
    """Return a line that wants `middle`, up to `distance`."""
    return Target(
        question=question,
        found=found,
        wanted=f"{middle:g} +- {distance:g}",
        holds=lambda value: abs(value - middle) <= distance,
    )


def commands(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Return each part's program with its arguments."""
    shapes, folder = arguments.shapes, arguments.folder
    small = shapes == "tiny"
    size = ["--conversations", "24", "--max-length", "256", "--warm-up", "1"] if small else []
    here = set(installed_arms())

    def training(name: str, shapes: str, arms: list[str]) -> list[str]:
        file = str(folder / f"{name}.json")
        named = ["--random-shapes", shapes, "--arms", *arms, "--json", file]
        return ["train_speed.py", *named, *size]

    parts = {
        name: training(name, shapes, [arm for arm in arms if arm in here])
        for name, arms in TRAINING.items()
        if here.intersection(arms)
    }
    parts |= {
        f"train-{other}": training(f"train-{other}", other, OTHER_ARMS)
        for other in arguments.other_shapes
    }
    batches = ["1", "4"] if small else ["1", "64", "256"]
    less = ["--steps", "4", "--context", "64"] if small else []
    parts["decode"] = ["decode_speed.py", "--shapes", shapes, "--dtype", "bfloat16"]
    parts["decode"] += ["--batches", *batches, *less]
    checkpoint = ["--model", str(checkpoint_of(shapes)), "--shapes", shapes]
    work = ["--problems", "256", "--questions", "60", "--new-tokens", "128"]
    batch = ["--stock-batches-mmlu", "32", "--stock-batches-gsm8k", "128"]
    if small:
        work = ["--problems", "6", "--questions", "2", "--new-tokens", "8"]
        batch = ["--stock-batches-mmlu", "2", "--stock-batches-gsm8k", "4"]
    data = {"--mmlu": arguments.mmlu, "--gsm8k": arguments.gsm8k}
    given = [f"{option}={path}" for option, path in data.items() if path]
    for variant in ("base", "lora"):
        parts[f"evaluate-{variant}"] = ["eval_speed.py", *checkpoint, "--variants", variant]
        parts[f"evaluate-{variant}"] += ["--dtypes", "bfloat16", "--tokens-per-batch", "auto"]
        parts[f"evaluate-{variant}"] += [*work, *batch, *given]
    parts["timing"] = ["timing_rule.py", "--random-shapes", shapes, *(["--small"] if small else [])]
    return parts


def run(name: str, command: list[str], folder: Path, seconds: float) -> None:
    """Run a part and end it with all its processes after `seconds`."""
    started = time.monotonic()
    (folder / f"{name}.json").unlink(missing_ok=True)
    with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / command[0]), *command[1:]],
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
        try:
            ending = f"ended with {process.wait(timeout=seconds)}"
        except subprocess.TimeoutExpired:
            ending = "stopped at its time limit"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    print(f"{name}: {ending} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of a part's output; none where it was not run."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        if line.startswith("{"):
            found.append(json.loads(line))
    return found


def ratio(one: float | None, other: float | None) -> float | None:
    """Return one / other, None where one of them is missing."""
    return one / other if one is not None and other else None


def medians_in(folder: Path, parts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the medians of all arms of these parts."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        file = folder / f"{part}.json"
        if file.exists():
            found |= json.loads(file.read_text(encoding="utf-8"))["medians"]
    return found


def training_targets(arms: dict[str, dict[str, Any]]) -> Iterator[Target]:
    """Yield the lines of training speed and memory."""

    def of(arm: str, key: str = "tokens_per_second") -> float | None:
        return arms.get(arm, {}).get(key)

    def fastest_trl(bf16: bool) -> float | None:
        named = [arm for arm in arms if arm.startswith("trl") and arm.endswith("-bf16") == bf16]
        return max((of(arm) or 0.0 for arm in named), default=None)

    for word, arm, rate, times in (
        ("bfloat16", "lorabench-bf16", 13_500, 5),
        ("NF4", "lorabench", 10_000, 4),
    ):
        yield at_least(f"training, {word}: tokens/s", of(arm), rate)
        over = ratio(of(arm), fastest_trl(word == "bfloat16"))
        yield at_least(f"training, {word}: speed over trl's fastest", over, times)
        reserved = ratio(of(arm, "gpu_reserved_bytes"), of(arm, "gpu_allocated_bytes"))
        yield at_most(f"training, {word}: reserved over allocated memory", reserved, 1.15)
    least, default = (of(a, "gpu_allocated_bytes") for a in ("lorabench-least", "trl-default"))
    yield at_most("least memory, NF4: allocated over trl's default", ratio(least, default), 1)
    over = ratio(of("lorabench-least"), of("trl-default"))
    yield at_least("least memory, NF4: speed over trl's default", over, 2)


def prediction_targets(shapes: str, arms: dict[str, dict[str, Any]]) -> Iterator[Target]:
    """Yield how far predictions of time and memory were off."""
    for arm in ("lorabench-bf16", "lorabench"):
        row = arms.get(arm, {})
        memory = ratio(row.get("predicted_bytes"), row.get("gpu_allocated_bytes"))
        yield within(f"{shapes}, {arm}: predicted over measured memory", memory, 1, 0.1)
        speed = ratio(row.get("tokens_per_second"), row.get("predicted_tokens_per_second"))
        yield within(f"{shapes}, {arm}: predicted over measured time", speed, 1, 0.2)


def decode_targets(rows: list[dict[str, Any]]) -> Iterator[Target]:
    """Yield the lines of a decode step; captured rows come after the others."""
    rates = {
        (row["variant"], row["batch"]): row["tokens_per_second"]
        for row in rows
        if "captured" in row
    }
    of = rates.get
    yield at_least("one user, base: tokens/s", of(("base", 1)), 120)
    one = ratio(of(("lora", 1)), of(("base", 1)))
    yield within("one user: speed of LoRA over the base's", one, 0.73, 0.03)
    yield at_least("256 rows, base: tokens/s", of(("base", 256)), 10_000)
    many = ratio(of(("lora", 256)), of(("base", 256)))
    yield at_least("256 rows: speed of LoRA over the base's", many, 0.75)


def evaluation_targets(rows: list[dict[str, Any]]) -> Iterator[Target]:
    """Yield the lines of evaluation; the margins of differing texts are only reported."""
    by = {(row["benchmark"], row["variant"]): row for row in rows}
    texts = {name: by[key] for name in ("base", "lora") if (key := ("gsm8k", name)) in by}
    choices = {name: by[key] for name in ("base", "lora") if (key := ("mmlu", name)) in by}
    rates = {name: row["ours"]["tokens_per_second"] for name, row in texts.items()}
    yield at_least("GSM8K, base: tokens/s", rates.get("base"), 10_000)
    over = ratio(rates.get("lora"), rates.get("base"))
    yield at_least("GSM8K: speed of LoRA over the base's", over, 0.75)
    for name, before in (("base", 5.0), ("lora", 4.2)):
        found = choices.get(name, {}).get("seconds_ratio")
        yield at_least(f"MMLU, {name}: speed over stock lm_eval's", found, before)
    for name, row in texts.items():
        for other, compared in (("stock's", row), ("uncaptured", row.get("launched"))):
            margins = compared["margins_of_differing_texts"] if compared else []
            asked = f"GSM8K, {name}: texts that differ from {other}, of {row['problems']}"
            count = float(len(margins)) if compared else None
            yield Target(question=asked, found=count, wanted="")
            largest = max(margins, default=None)
            yield Target(question="the largest margin among them", found=largest, wanted="")
    whole = None
    if texts.keys() == choices.keys() == {"base", "lora"}:
        tokens = GSM8K * SOLUTION_TOKENS + ANSWERS * ANSWER_TOKENS
        # the merged model is as fast as the base
        whole = math.fsum(
            tokens / rates[name]
            + MMLU * choices[name]["ours"]["seconds"] / choices[name]["questions"]
            for name in ("base", "lora", "base")
        )
    asked = "all four benchmarks, three variants, full size: seconds, by these rates"
    yield at_most(asked, whole, 900)


def timing_targets(rows: list[dict[str, Any]]) -> Iterator[Target]:
    """Yield the lines of the rule measure_inference."""
    found = rows[-1] if rows else {"seconds": None, "variants": {}}
    yield at_most("measure_inference at its defaults: seconds", found["seconds"], 300)
    base, lora = (found["variants"].get(name, {}) for name in ("base", "lora"))
    yield at_least("measure_inference, base: tokens/s", base.get("tokens_per_second"), 120)
    median = lora.get("ratio_to_base", {}).get("median")
    yield within("measure_inference: speed of LoRA over the base's", median, 0.73, 0.03)


def write_table(arguments: argparse.Namespace) -> None:
    """Write table.md and table.json from all parts that were run."""
    folder, shapes = arguments.folder, arguments.shapes
    arms = medians_in(folder, list(TRAINING))
    others = {name: medians_in(folder, [f"train-{name}"]) for name in arguments.other_shapes}
    lines = {part: lines_of(folder / f"{part}.out") for part in commands(arguments)}
    targets = [*training_targets(arms), *prediction_targets(shapes, arms)]
    for name, medians in others.items():
        targets += prediction_targets(name, medians)
    targets += decode_targets(lines["decode"])
    targets += evaluation_targets([*lines["evaluate-base"], *lines["evaluate-lora"]])
    targets += timing_targets(lines["timing"])
    found = [target.line for target in targets]
    words = {True: "yes", False: "no", None: ""}
    text = ["| question | target | found | met |", "| --- | --- | --- | --- |"]
    for line in found:
        number = line["found"]
        layout = ",.0f" if number is not None and number >= 1000 else ".3g"
        value = "not measured" if number is None else format(number, layout)
        text.append(f"| {line['question']} | {line['target']} | {value} | {words[line['met']]} |")
    for name, medians in {shapes: arms, **others}.items():
        known = {arm: {key: row.get(key) for key in COLUMNS} for arm, row in medians.items()}
        if known:
            text += ["", f"Training, {name}:", "", table(known)]
    (folder / "table.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    document = {"shapes": shapes, "targets": found, "training": {shapes: arms, **others}}
    (folder / "table.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    print("\n".join(text))


def main() -> None:
    """Run the parts asked for and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", choices=list(SHAPES), default="llama3-8b")
    parser.add_argument(
        "--other-shapes",
        nargs="*",
        choices=list(SHAPES),
        default=["llama3.2-3b", "llama3.2-1b"],
        help="for which time and memory are predicted, too",
    )
    parser.add_argument("--parts", nargs="+", help="else all; --parts none writes the table only")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of a part")
    parser.add_argument("--mmlu", type=Path, help="see eval_speed.py; else the project's samples")
    parser.add_argument("--gsm8k", type=Path)
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "gpu-table")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    parts = commands(arguments)
    chosen = arguments.parts or list(parts)
    if unknown := set(chosen) - set(parts) - {"none"}:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    made_checkpoint(arguments.shapes)
    for name in chosen:
        if name != "none":
            run(name, parts[name], arguments.folder, arguments.seconds)
            write_table(arguments)
    if chosen == ["none"]:
        write_table(arguments)


if __name__ == "__main__":
    main()
