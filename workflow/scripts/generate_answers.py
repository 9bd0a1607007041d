"""Answer a shard of the questions of a judged benchmark:
results/{run}/work/answers/{variant}/{benchmark}.{shard}-of-{shards}.jsonl.

MT-Bench follows FastChat: the chat template, a temperature for each category, and in the second
turn the model's own first answer (https://arxiv.org/abs/2306.05685). AlpacaEval's single turn is
answered greedily. A question's random stream depends on the seed, the question and the turn only,
so the shards (index % shards == shard) are parts of what one job would answer. Answers go to a
store as they come: a killed job repeats no question, and no run asks what another has asked of the
same weights. The weights are loaded when an answer is missing.
"""

import logging
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.documents.protocol import AnswersProtocol
from lorabench.evaluation.benchmark import question_benchmark
from lorabench.evaluation.chat_answers import ChatAnswerer
from lorabench.evaluation.questions import first_questions
from lorabench.evaluation.response_store import open_shared
from lorabench.evaluation.sampling import sampling_limits
from lorabench.evaluation.settings import GenerateAnswersSettings
from lorabench.evaluation.shared_prefix_model import SharedPrefixModel
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
        benchmark: its name.
        data: folder with the benchmark's rows.
        answers, protocol: outputs.
        store: the run's folder in the folder of all runs' answers.
        shard, shards: which part of the questions, from 0.
        settings: section `generate_answers` with this benchmark's keys under `benchmark`.
    """
    started = time.perf_counter()
    table = question_benchmark(benchmark)
    chosen = GenerateAnswersSettings.parse(table.settings, settings)
    chosen_questions = first_questions(table.questions(data), chosen.benchmark.limit, data)
    questions = dict(enumerate(chosen_questions))
    asked = {index: question for index, question in questions.items() if index % shards == shard}
    generation = {"seed": chosen.seed, "max_new_tokens": chosen.benchmark.max_new_tokens}
    identity = answer_identity(weights, chosen.dtype, chosen.engine, generation)
    part = f"{benchmark}.{shard}-of-{shards}"
    with open_shared(store, weights.variant, part, identity) as stored:
        engine = VllmEngine(weights, chosen.dtype) if chosen.engine == "vllm" else None
        model = SharedPrefixModel(load_skeleton(weights), load=partial(weights.load, chosen.dtype))
        answerer = ChatAnswerer(
            model, load_tokenizer(weights.source.parent), chosen, stored, engine
        )
        given = answerer.answer(asked)
    write_jsonl(answers, map(asdict, given))
    cut = sum(flag for one in given for flag in one.truncated)
    logger.info(
        "%s, %s: %d answers, %d turns cut at the limit",
        benchmark,
        weights.variant,
        len(given),
        cut,
    )
    top_k, top_p = sampling_limits(model.outline.generation_config)
    made: AnswersProtocol = {
        "schema_version": 2,
        "benchmark": benchmark,
        "dtype": dtype_name(chosen.dtype),
        "engine": chosen.engine,
        "device": str(device()),
        "versions": library_versions(chosen.engine),
        "model": weights.fingerprint(),
        "settings": settings,
        "top_k": top_k,
        "top_p": top_p,
        "questions": len(given),
        "turns_truncated": cut,
        "turns_with_less_room": answerer.turns_with_less_room,
        "turns_from_store": stored.hits,
        "tokens_computed": (engine or model).tokens_computed,
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(protocol, made)


if __name__ == "__main__":
    run_job(snakemake, generate_answers)
