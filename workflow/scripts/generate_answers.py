"""Answer a shard of MT-Bench or AlpacaEval:
results/{run}/work/answers/{variant}/{benchmark}.{shard}-of-{shards}.jsonl.

MT-Bench follows FastChat: the chat template, a temperature for each category, and in the second
turn the model's own first answer (https://arxiv.org/abs/2306.05685). AlpacaEval's single turn is
answered greedily. A question's random stream depends on the seed, the question and the turn only,
so the shards (index % shards == shard) are parts of what one job would answer. Answers go to a
store as they come, so that a killed job repeats none.
"""

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.evaluation.chat_answers import ChatAnswerer
from lorabench.evaluation.questions import read_questions
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.sampling import sampling_limits
from lorabench.evaluation.settings import GenerateAnswersSettings
from lorabench.evaluation.shared_prefix_model import SharedPrefixModel
from lorabench.evaluation.vllm_engine import VllmEngine, load_skeleton
from lorabench.evaluation.vllm_support import generated_by
from lorabench.evaluation.weights import Weights, answer_identity, dtype_name
from lorabench.files import write_json, write_jsonl
from lorabench.job import run_job
from lorabench.llama import device, load_tokenizer

logger = logging.getLogger(__name__)


def generate_answers(
    *,
    weights: Weights,
    benchmark: str,
    data: Folder,
    answers: Path,
    protocol: Path,
    store: Path,
    shard: int,
    shards: int,
    settings: dict[str, Any],
) -> None:
    """Answer one shard of a benchmark.

    Args:
        weights: the variant.
        benchmark: mt_bench or alpaca_eval.
        data: folder with the benchmark's rows.
        answers, protocol: outputs.
        store: folder of the answers given so far.
        shard, shards: which part of the questions, from 0.
        settings: section `generate_answers` with this benchmark's keys under `benchmark`.
    """
    started = time.perf_counter()
    chosen = GenerateAnswersSettings.parse(settings)
    questions = dict(enumerate(read_questions(benchmark, data, chosen.benchmark.limit)))
    part = {index: question for index, question in questions.items() if index % shards == shard}
    generation = {"seed": chosen.seed, "max_new_tokens": chosen.benchmark.max_new_tokens}
    file = store / f"{weights.variant}.{benchmark}.{shard}-of-{shards}.jsonl"
    with ResponseStore(
        file, answer_identity(weights, chosen.dtype, chosen.engine, generation)
    ) as stored:
        engine = VllmEngine(weights, chosen.dtype) if chosen.engine == "vllm" else None
        model = SharedPrefixModel(load_skeleton(weights) if engine else weights.load(chosen.dtype))
        results = ChatAnswerer(
            model, load_tokenizer(weights.source.parent), chosen, stored, engine
        ).answer(part)
    write_jsonl(answers, map(asdict, results))
    cut = sum(flag for result in results for flag in result.truncated)
    logger.info(
        "%s, %s: %d answers, %d turns cut at the limit",
        benchmark,
        weights.variant,
        len(results),
        cut,
    )
    dtype = dtype_name(chosen.dtype)
    limits = sampling_limits(model.model.generation_config)
    made = {
        "protocol": protocol_sentence(benchmark, chosen, dtype, *limits),
        "dtype": dtype,
        "engine": chosen.engine,
        "device": str(device()),
        "model": weights.fingerprint(),
    }
    counts = {"questions": len(results), "turns_truncated": cut, "turns_from_store": stored.hits}
    cost = {
        "tokens_computed": (engine or model).tokens_computed,
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(protocol, {"schema_version": 1, **made, "settings": settings, **counts, **cost})


def protocol_sentence(
    benchmark: str, settings: GenerateAnswersSettings, dtype: str, top_k: int, top_p: float
) -> str:
    """Return in one sentence how the answers were made."""
    limit = f"chat template, at most {settings.benchmark.max_new_tokens} new tokens a turn, {dtype}"
    limit += generated_by(settings.engine)
    if benchmark == "alpaca_eval":
        return f"AlpacaEval instructions, {limit}, greedy"
    return (
        f"MT-Bench questions, two turns, {limit}; FastChat's temperature for each category (0 ="
        f" greedy), top-k {top_k}, top-p {top_p}, seed {settings.seed} for each question"
    )


if __name__ == "__main__":
    run_job(snakemake, generate_answers)
