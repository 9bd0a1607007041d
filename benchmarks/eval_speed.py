r"""Time our evaluation model against the harness' own HFLM in one run, and count differences.

    python benchmarks/eval_speed.py --model resources/models/SmolLM2-135M-Instruct
    python benchmarks/eval_speed.py --model … --mmlu PATH --gsm8k PATH --questions 40 --dtypes
    bfloat16 float32

    python benchmarks/eval_speed.py --model FOLDER --shapes llama3-8b --dtypes bfloat16 \
        --variants base lora --gsm8k PATH --mmlu PATH --problems 256 --new-tokens 128 \
        --tokens-per-batch auto

The last line is for a GPU: random weights of named shapes (benchmarks/decode_speed.py) with the
tokenizer of `--model`. Targets on one H100 or H200 (*not run here*: no GPU): GSM8K at least 10,000
`ours.tokens_per_second` on the base and 0.75 of it with unmerged LoRA; MMLU's `seconds_ratio` at
least 5. On a GPU GSM8K is also generated with every step launched from Python (`launched`).
For each text that differs, from that and from stock's, the margin at the first difference is
listed: rounding explains small ones only.

`--mmlu` is a folder of {subject}_dev.csv and {subject}_test.csv (also in dev/ and test/), `--gsm8k`
one of train.jsonl and test.jsonl; the project's samples otherwise. Where more questions are asked
for than there are, they come again with a number in front. The adapter of `--variants lora`
has random weights: speed does not depend on them. Stock's batch size is the one that is fastest on
the first requests. Seconds are wall time; CPU seconds are shown, too, because they are the
steadier figure on a machine that does other work. The ratio is stock / ours. Both sides tokenise
within the measured time.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

import torch
from decode_speed import build
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import LoraConfig, PeftModel, get_peft_model
from random_llama import SHAPES
from transformers import PreTrainedModel

from lorabench.control.benchmarks import read_task_file
from lorabench.evaluation.benchmark import task_benchmark
from lorabench.evaluation.harness_tasks import build_tasks
from lorabench.evaluation.prefix_cache_lm import PrefixCacheLM
from lorabench.evaluation.shared_prefix_model import Generation, GenerationRequest
from lorabench.files import read_jsonl, write_jsonl
from lorabench.llama import load_base, load_tokenizer, resolve_dtype

TASKS = ROOT / "workflow" / "resources" / "tasks"
SAMPLES = ROOT / "workflow" / "resources" / "samples"
LETTERS = 4
# by which stock's batch size for MMLU is chosen
SEARCHED_QUESTIONS = 30
LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(model: Path, dtype: str, variant: str, shapes: str | None) -> PreTrainedModel | PeftModel:
    """Load the model, or make one of these shapes; "lora" adds a random adapter of rank 64."""
    if shapes:
        return cast(PreTrainedModel, build(shapes, resolve_dtype(dtype), variant, rank=64))
    loaded: PreTrainedModel | PeftModel = load_base(model, resolve_dtype(dtype))
    if variant == "lora":
        torch.manual_seed(0)
        config = LoraConfig(
            r=64, lora_alpha=128, target_modules=LINEAR_LAYERS, task_type="CAUSAL_LM"
        )
        loaded = get_peft_model(loaded, config, autocast_adapter_dtype=False).to(
            resolve_dtype(dtype)
        )
        for name, parameter in loaded.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=2e-3)
    return loaded.requires_grad_(True).eval()


def filled_up(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return at least `count` rows: a question that comes again has the round's number in front."""
    rounds = range(-(-count // len(rows)))
    return rows + [
        row | {"question": f"({number + 1}) {row['question']}"}
        for number in rounds[1:]
        for row in rows
    ]


def read_subjects(folder: Path, subjects: list[str], target: Path, count: int) -> None:
    """Write canonical MMLU rows of the subjects (all where the list is empty) to `target`.

    A subject gets at least `count` questions.
    """
    names = subjects or sorted(
        path.name.removesuffix("_test.csv") for path in folder.rglob("*_test.csv")
    )
    for split in ("dev", "test"):
        rows = []
        for name in names:
            with next(folder.rglob(f"{name}_{split}.csv")).open(
                encoding="utf-8", newline=""
            ) as file:
                found = filled_up(list(csv.DictReader(file)), count if split == "test" else 1)
                for number, row in enumerate(found):
                    answer = row["answer"]
                    rows.append(
                        {
                            "id": f"{name}-{split}-{number}",
                            "subject": name,
                            "question": row["question"],
                            "choices": [row[f"choice{choice}"] for choice in range(LETTERS)],
                            "answer": int(answer) if answer.isdigit() else "ABCD".index(answer),
                        }
                    )
        write_jsonl(target / f"{split}.jsonl", rows)


def read_problems(folder: Path, target: Path, count: int) -> None:
    """Write canonical GSM8K rows to the folder `target`, at least `count` problems."""
    for split in ("train", "test"):
        path = next(
            path
            for path in (folder / f"{split}.jsonl", folder / f"gsm8k_{split}.jsonl")
            if path.exists()
        )
        found = filled_up([row for _, row in read_jsonl(path)], count if split == "test" else 1)
        rows = (row | {"id": f"gsm8k-{split}-{number}"} for number, row in enumerate(found))
        write_jsonl(target / f"{split}.jsonl", rows)


def requests_of(benchmark: str, folder: Path, settings: dict[str, Any]) -> list[Instance]:
    """Return the requests of all tasks of a benchmark on the rows in `folder`."""
    table = task_benchmark(benchmark)
    tasks = table.tasks(read_task_file(TASKS, settings), folder, table.settings(**settings))
    instances = []
    for task in build_tasks(tasks).values():
        task.build_all_requests(rank=0, world_size=1)
        instances += task.instances
    return instances


def timed(method: Callable[..., Any], requests: list[Instance]) -> tuple[Any, dict[str, float]]:
    """Return the answers to the requests, and the wall and CPU seconds that they took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = method(requests, disable_tqdm=True)
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def best_batch_size(
    model: Any, tokenizer: Any, method: str, requests: list[Instance], sizes: list[int]
) -> tuple[int, dict[int, float]]:
    """Return the batch size at which the harness' own model is fastest, and each one's seconds."""
    if len(sizes) == 1:
        return sizes[0], {}
    seconds = {}
    for size in sizes:
        stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size)
        seconds[size] = timed(getattr(stock, method), requests)[1]["seconds"]
    return min(seconds, key=lambda size: seconds[size]), seconds


def compare_mmlu(ours: list[tuple[float, bool]], stock: list[tuple[float, bool]]) -> dict[str, Any]:
    """Return how far the answers agree; margins in nats between the best and second letter."""
    flips = []
    ties = 0
    for start in range(0, len(ours), LETTERS):
        own, other = (
            [value for value, _ in side[start : start + LETTERS]] for side in (ours, stock)
        )
        best, second = sorted(other, reverse=True)[:2]
        ties += best == second
        if own.index(max(own)) != other.index(best):
            own_best, own_second = sorted(own, reverse=True)[:2]
            flips.append({"stock_margin": best - second, "our_margin": own_best - own_second})
    difference = max(abs(a - b) for (a, _), (b, _) in zip(ours, stock, strict=True))
    return {
        "questions": len(ours) // LETTERS,
        "max_difference": difference,
        "stock_ties": ties,
        "flips": flips,
    }


def count_generated(model: PrefixCacheLM) -> list[int]:
    """Return a list that gets the new tokens of every text that the model generates from now on."""
    counts: list[int] = []
    usual = model.generate

    def generate(requests: Sequence[GenerationRequest]) -> Iterator[tuple[int, Generation]]:
        for number, generation in usual(requests):
            counts.append(len(generation.tokens))
            yield number, generation

    model.generate = generate
    return counts


@torch.inference_mode()
def margins(
    model: Any, tokenizer: Any, prompts: list[str], ours: list[str], others: list[str]
) -> list[float]:
    """Return by how much the likeliest token led at the first difference of each pair of texts.

    That is its logit minus that of the second, by the model's own pass over what both share.
    """
    found = []
    for prompt, text, other in zip(prompts, ours, others, strict=True):
        if text != other:
            both = [tokenizer.encode(prompt + one) for one in (text, other)]
            pairs = enumerate(zip(*both, strict=False))
            alike = next((at for at, (a, b) in pairs if a != b), min(map(len, both)))
            shared = torch.tensor([both[0][:alike]], device=model.device)
            best, second = model(shared).logits[0, -1].float().topk(2).values.tolist()
            found.append(best - second)
    return sorted(found)


def measure(
    arguments: argparse.Namespace, dtype: str, variant: str, folder: Path
) -> list[dict[str, Any]]:
    """Return one result a benchmark."""
    model, tokenizer = (
        load(arguments.model, dtype, variant, arguments.shapes),
        load_tokenizer(arguments.model),
    )
    ours = PrefixCacheLM(model, tokenizer, tokens_per_batch=arguments.tokens_per_batch)
    results = []
    for benchmark in arguments.benchmarks:
        if benchmark == "mmlu":
            own: dict[str, Any] = {"task": "mmlu", "few_shot": 5, "subjects": []}
            own["limit_per_subject"] = arguments.questions
            requests = requests_of(benchmark, folder / benchmark, own)
            method, sizes = "loglikelihood", arguments.stock_batches_mmlu
            searched = requests[: LETTERS * SEARCHED_QUESTIONS]
        else:
            own = {"task": "gsm8k_cot", "few_shot": None, "answer_filter": "flexible-extract"}
            own |= {"max_new_tokens": arguments.new_tokens, "limit": arguments.problems}
            own["engine"] = "transformers"
            requests = requests_of(benchmark, folder / benchmark, own)
            method, sizes, searched = "generate_until", arguments.stock_batches_gsm8k, requests
        getattr(HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1), method)(
            requests[:4], disable_tqdm=True
        )
        batch, searches = best_batch_size(model, tokenizer, method, searched, sizes)
        stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
        # warm-up
        getattr(ours, method)(requests[:4], disable_tqdm=True)
        generated = count_generated(ours)
        own, our_time = timed(getattr(ours, method), requests)
        other, stock_time = timed(getattr(stock, method), requests)
        result: dict[str, Any] = {
            "benchmark": benchmark,
            "dtype": dtype,
            "variant": variant,
            "stock_batch_size": batch,
        }
        result |= {"stock_search_seconds": searches, "ours": our_time, "stock": stock_time}
        result |= {f"{key}_ratio": stock_time[key] / our_time[key] for key in our_time}
        if benchmark == "mmlu":
            result |= compare_mmlu(own, other)
        else:
            result["ours"]["tokens_per_second"] = sum(generated) / our_time["seconds"]
            prompts = [request.args[0] for request in requests]
            compared = partial(margins, model, tokenizer, prompts, own)
            result |= {"problems": len(own), "margins_of_differing_texts": compared(other)}
            if ours.shared.fixed_shapes:
                ours.shared.fixed_shapes = False
                texts, seconds = timed(ours.generate_until, requests)
                ours.shared.fixed_shapes = True
                result["launched"] = {**seconds, "margins_of_differing_texts": compared(texts)}
        results.append(result)
        print(json.dumps(result), flush=True)
    return results


def main() -> None:
    """Measure every dtype and variant asked for and print one JSON line a result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--mmlu", type=Path, default=SAMPLES / "mmlu")
    parser.add_argument("--gsm8k", type=Path, default=SAMPLES)
    parser.add_argument(
        "--subjects",
        nargs="*",
        default=[],
        help="MMLU subjects; all in the folder where none is named",
    )
    parser.add_argument("--questions", type=int, default=20, help="MMLU questions a subject")
    parser.add_argument("--problems", type=int, default=16, help="GSM8K problems")
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--variants", nargs="+", default=["base"], choices=["base", "lora"])
    parser.add_argument(
        "--benchmarks", nargs="+", default=["mmlu", "gsm8k"], choices=["mmlu", "gsm8k"]
    )
    parser.add_argument(
        "--shapes", choices=sorted(SHAPES), help="random weights; --model has the tokenizer"
    )
    parser.add_argument(
        "--tokens-per-batch",
        type=lambda text: text if text == "auto" else int(text),
        default=4096,
        help="a number or auto",
    )
    parser.add_argument("--stock-batches-mmlu", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--stock-batches-gsm8k", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read_subjects(arguments.mmlu, arguments.subjects, folder / "mmlu", arguments.questions)
        read_problems(arguments.gsm8k, folder / "gsm8k", arguments.problems)
        for dtype in arguments.dtypes:
            for variant in arguments.variants:
                measure(arguments, dtype, variant, folder)


if __name__ == "__main__":
    main()
