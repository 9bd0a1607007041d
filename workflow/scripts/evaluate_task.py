"""Run a benchmark of lm-evaluation-harness: checkpoint + questions ->
results/{run}/work/eval/{variant}/{benchmark}.{shard}-of-{shards}.jsonl.

Prompts, answer filters and metrics are those of lm-evaluation-harness; the model behind it is ours
and encodes the few-shot examples that questions share once. A shard holds the items with index %
shards == shard, and a question's prompt does not depend on it. Answers go to a store as they come:
a killed job repeats no question, and no run asks what another has asked of the same weights. The
weights are loaded when an answer is missing.

Tasks, settings and rows of a benchmark: lorabench/evaluation/benchmarks/{benchmark}.py. How the
rows were made is recorded as facts (`TaskProtocol`).
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval.evaluator import evaluate

from lorabench.arguments import Folder
from lorabench.documents.protocol import TaskProtocol
from lorabench.evaluation.benchmark import Answered, task_benchmark
from lorabench.evaluation.harness_tasks import build_tasks, number_items, shard_items
from lorabench.evaluation.prefix_cache_lm import PrefixCacheLM
from lorabench.evaluation.response_store import open_shared
from lorabench.evaluation.settings import EvaluateTaskSettings
from lorabench.evaluation.vllm_engine import VllmEngine
from lorabench.evaluation.weights import (
    Weights,
    answer_identity,
    dtype_name,
    library_versions,
    load_skeleton,
)
from lorabench.files import write_json, write_jsonl
from lorabench.job import run_job
from lorabench.llama import device, load_tokenizer

logger = logging.getLogger(__name__)


def evaluate_task(
    *,
    weights: Weights,
    benchmark: str,
    data: Folder,
    task_file: Mapping[str, Any],
    rows: Path,
    protocol: Path,
    store: Path,
    shard: int,
    shards: int,
    settings: dict[str, Any],
) -> None:
    """Answer one shard of a benchmark.

    Args:
        weights: the variant.
        benchmark: its name.
        data: folder with the benchmark's rows.
        task_file: content of the task file that the settings name, {} where they name none.
        rows, protocol: outputs.
        store: the run's folder in the folder of all runs' answers.
        shard, shards: which part of the items, from 0.
        settings: section `evaluate_task` with this benchmark's keys under `benchmark`.
    """
    started = time.perf_counter()
    table = task_benchmark(benchmark)
    chosen = EvaluateTaskSettings.parse(table.settings, settings)
    # where the benchmark may choose it
    engine = str(getattr(chosen.benchmark, "engine", "transformers"))
    tasks = build_tasks(table.tasks(task_file, data, chosen.benchmark))
    items = number_items(tasks)
    asked = shard_items(items, shard, shards)
    identity = answer_identity(weights, chosen.dtype, engine, {"chat": chosen.apply_chat_template})
    part = f"{benchmark}.{shard}-of-{shards}"
    with open_shared(store, weights.variant, part, identity) as answers:
        vllm = VllmEngine(weights, chosen.dtype) if engine == "vllm" else None
        lm = PrefixCacheLM(
            load_skeleton(weights),
            load_tokenizer(weights.source.parent),
            tokens_per_batch=chosen.tokens_per_batch,
            load=partial(weights.load, chosen.dtype),
            store=answers,
            generate=vllm,
        )
        samples = run_harness(
            lm, {task: tasks[task] for task in asked}, asked, chosen.apply_chat_template
        )
    answered = Answered(items=items, samples=samples, truncated=lm.truncated)
    item_rows = table.rows(answered, chosen.benchmark)
    count = write_jsonl(rows, map(asdict, item_rows))
    logger.info(
        "%s, %s: %d items, %d requests from the store",
        benchmark,
        weights.variant,
        count,
        answers.hits,
    )
    versions = library_versions(engine)
    made: TaskProtocol = {
        "schema_version": 2,
        "benchmark": benchmark,
        "task": getattr(chosen.benchmark, "task", benchmark),
        "harness": f"lm_eval {versions['lm_eval']}",
        "few_shot": next(iter(tasks.values())).config.num_fewshot,
        "dtype": dtype_name(chosen.dtype),
        "engine": engine,
        "device": str(device()),
        "versions": versions,
        "model": weights.fingerprint(),
        "settings": settings,
        "items": count,
        "requests_from_store": answers.hits,
        "tokens_computed": (vllm or lm.shared).tokens_computed,
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(protocol, made)


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
    run_job(snakemake, evaluate_task)
