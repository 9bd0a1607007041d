"""Run GSM8K or MMLU: checkpoint + questions ->
results/{run}/work/eval/{variant}/{benchmark}.{shard}-of-{shards}.jsonl.

Prompts, answer filters and metrics are those of lm-evaluation-harness; the model behind it is ours
and encodes the few-shot examples that questions share once. A shard holds the items with index %
shards == shard, and a question's prompt does not depend on it. Answers go to a store as they come,
so that a killed job repeats none.

GSM8K: exact match of the final number (https://arxiv.org/abs/2110.14168). MMLU: share of questions
    whose right choice has the highest log-likelihood, of its letter or of its text
    (https://arxiv.org/abs/2009.03300).
"""

import logging
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lm_eval.evaluator import evaluate

from lorabench.arguments import Folder
from lorabench.evaluation.harness_rows import gsm8k_rows, mmlu_rows, shard_items
from lorabench.evaluation.harness_tasks import gsm8k_tasks, mmlu_tasks, protocol_sentence
from lorabench.evaluation.prefix_cache_lm import PrefixCacheLM
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.settings import EvaluateTaskSettings, Gsm8kSettings
from lorabench.evaluation.vllm_engine import VllmEngine, load_skeleton
from lorabench.evaluation.weights import Weights, answer_identity, dtype_name
from lorabench.files import write_json, write_jsonl
from lorabench.job import run_job
from lorabench.llama import device, load_tokenizer

logger = logging.getLogger(__name__)


def evaluate_task(
    *,
    weights: Weights,
    benchmark: str,
    data: Folder,
    tasks: Folder,
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
        benchmark: gsm8k or mmlu.
        data: folder with the benchmark's rows.
        tasks: folder with the project's task files.
        rows, protocol: outputs.
        store: folder of the answers given so far.
        shard, shards: which part of the items, from 0.
        settings: section `evaluate_task` with this benchmark's keys under `benchmark`.
    """
    started = time.perf_counter()
    chosen = EvaluateTaskSettings.parse(benchmark, settings)
    own = chosen.benchmark
    all_tasks = (
        gsm8k_tasks(tasks, data, own)
        if isinstance(own, Gsm8kSettings)
        else mmlu_tasks(tasks, data, own)
    )
    items = shard_items(all_tasks, shard, shards)
    file = store / f"{weights.variant}.{benchmark}.{shard}-of-{shards}.jsonl"
    engine = own.engine if isinstance(own, Gsm8kSettings) else "transformers"
    with ResponseStore(file, answer_identity(weights, chosen.dtype, engine, {})) as answers:
        vllm = VllmEngine(weights, chosen.dtype) if engine == "vllm" else None
        lm = PrefixCacheLM(
            load_skeleton(weights) if vllm else weights.load(chosen.dtype),
            load_tokenizer(weights.source.parent),
            tokens_per_batch=chosen.tokens_per_batch,
            store=answers,
            generate=vllm,
        )
        samples = run_harness(
            lm, {task: all_tasks[task] for task in items}, items, chosen.apply_chat_template
        )
    if isinstance(own, Gsm8kSettings):
        results = gsm8k_rows(all_tasks, samples.get("gsm8k", []), lm.truncated, own.answer_filter)
    else:
        results = mmlu_rows(all_tasks, samples)
    count = write_jsonl(rows, map(asdict, results))
    logger.info(
        "%s, %s: %d items, %d requests from the store",
        benchmark,
        weights.variant,
        count,
        answers.hits,
    )
    made = {
        "protocol": protocol_sentence(all_tasks, chosen, dtype_name(chosen.dtype)),
        "task": own.task,
        "harness": f"lm_eval {version('lm_eval')}",
        "dtype": dtype_name(chosen.dtype),
        "engine": engine,
        "device": str(device()),
        "model": weights.fingerprint(),
    }
    counts = {"items": count, "requests_from_store": answers.hits}
    cost = {
        "tokens_computed": (vllm or lm.shared).tokens_computed,
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(protocol, {"schema_version": 1, **made, "settings": settings, **counts, **cost})


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
