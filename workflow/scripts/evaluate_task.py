"""Run benchmarks of lm-evaluation-harness.

checkpoint + questions -> {variant}/{benchmark}.jsonl in a shard's folder,
results/{run}/work/evaluate_task/{engine}/{variants}.{shard}-of-{shards}

Prompts, answer filters and metrics are those of lm-evaluation-harness; the model behind it is ours
and encodes the few-shot examples that questions share once. A shard holds the items with index %
shards == shard, and a question's prompt does not depend on it. Answers go to a store as they come:
a killed job repeats no question, and no run asks what another has asked of the same weights. The
weights are loaded when an answer is missing, once for base and unmerged LoRA.

Tasks, settings and rows of a benchmark: lorabench/evaluation/benchmarks/{benchmark}.py. How the
rows were made is recorded as facts (`TaskProtocol`).
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from lm_eval.evaluator import evaluate

from lorabench.documents.protocol import TaskProtocol
from lorabench.evaluation.benchmark import Answered, task_benchmark
from lorabench.evaluation.harness_tasks import build_tasks, number_items, shard_items
from lorabench.evaluation.parts import Part, Parts, named
from lorabench.evaluation.prefix_cache_lm import PrefixCacheLM
from lorabench.evaluation.settings import EvaluateTaskSettings
from lorabench.evaluation.vllm_engine import VllmEngine
from lorabench.evaluation.weights import Loader, answer_identity, load_skeleton
from lorabench.files import write_json, write_jsonl
from lorabench.job import run_job

logger = logging.getLogger(__name__)


def evaluate_task(*, parts: Parts, task_files: Mapping[str, Mapping[str, Any]]) -> None:
    """Answer one shard of each benchmark, on each variant.

    Args:
        parts: what is asked of which weights; the settings are section `evaluate_task`.
        task_files: benchmark -> content of the task file that its settings name, {} where they name
            none.
    """
    load, vllm = Loader(parts.settings["dtype"]), cache(VllmEngine)
    for part in parts.each():
        with named(part):
            answer_task(part, task_files[part.benchmark], load, vllm)


def answer_task(
    part: Part, task_file: Mapping[str, Any], load: Loader, vllm: Callable[..., VllmEngine]
) -> None:
    """Answer one part; write its rows and how they were made."""
    started = time.perf_counter()
    table, weights = task_benchmark(part.benchmark), part.weights
    chosen = EvaluateTaskSettings.parse(table.settings, part.settings)
    tasks = build_tasks(table.tasks(task_file, part.data, chosen.benchmark))
    items = number_items(tasks)
    asked = shard_items(items, part.job.shard, part.job.shards)
    identity = answer_identity(
        weights, chosen.dtype, chosen.engine, {"chat": chosen.apply_chat_template}
    )
    with part.open_store(identity) as answers:
        engine = vllm(weights, chosen.dtype) if chosen.engine == "vllm" else None
        before = engine.tokens_computed if engine else 0
        lm = PrefixCacheLM(
            load_skeleton(weights),
            load.tokenizer(weights.source.parent),
            tokens_per_batch=chosen.tokens_per_batch,
            load=partial(load, weights),
            store=answers,
            generate=engine,
        )
        samples = run_harness(
            lm, {task: tasks[task] for task in asked}, asked, chosen.apply_chat_template
        )
    answered = Answered(items=items, samples=samples, truncated=lm.truncated)
    item_rows = table.rows(answered, chosen.benchmark)
    count = write_jsonl(part.file("jsonl"), map(asdict, item_rows))
    logger.info(
        "%s, %s: %d items, %d requests from the store",
        part.benchmark,
        weights.variant,
        count,
        answers.hits,
    )
    tokens = (engine or lm.shared).tokens_computed - before
    made = part.made(chosen.engine, tokens, started)
    protocol: TaskProtocol = {
        **made,
        "task": getattr(chosen.benchmark, "task", part.benchmark),
        "harness": f"lm_eval {made['versions']['lm_eval']}",
        "few_shot": next(iter(tasks.values())).config.num_fewshot,
        "items": count,
        "requests_from_store": answers.hits,
    }
    write_json(part.file("json"), protocol)


def run_harness(
    lm: PrefixCacheLM, tasks: dict[str, Any], items: dict[str, list[int]], apply_chat_template: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the harness' samples of the chosen documents of each task."""
    if not items:
        return {}
    result = evaluate(
        lm,
        {"tasks": tasks, "groups": {}, "group_map": {}},
        samples=items,
        bootstrap_iters=0,
        apply_chat_template=apply_chat_template,
        fewshot_as_multiturn=apply_chat_template,
    )
    return result["samples"]


if __name__ == "__main__":
    run_job(snakemake, evaluate_task, unused=("benchmarks",))
