"""Answer the questions of judged benchmarks.

checkpoint + questions -> {variant}/{benchmark}.jsonl in a shard's folder,
results/{run}/work/generate_answers/{engine}/{variants}.{shard}-of-{shards}

MT-Bench follows FastChat: the chat template, a temperature for each category, and in the second
turn the model's own first answer (https://arxiv.org/abs/2306.05685). AlpacaEval's single turn is
answered greedily. A question's random stream depends on the seed, the question and the turn only,
so the shards (index % shards == shard) are parts of what one job would answer. Answers go to a
store as they come: a killed job repeats no question, and no run asks what another has asked of the
same weights. The weights are loaded when an answer is missing, once for base and unmerged LoRA.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial

from lorabench.documents.protocol import AnswersProtocol
from lorabench.evaluation.benchmark import question_benchmark
from lorabench.evaluation.chat_answers import ChatAnswerer
from lorabench.evaluation.parts import Part, Parts, named
from lorabench.evaluation.questions import first_questions
from lorabench.evaluation.sampling import sampling_limits
from lorabench.evaluation.settings import GenerateAnswersSettings
from lorabench.evaluation.shared_prefix_model import SharedPrefixModel
from lorabench.evaluation.vllm_engine import VllmEngine
from lorabench.evaluation.weights import Loader, answer_identity, load_skeleton
from lorabench.files import write_json, write_jsonl
from lorabench.job import run_job

logger = logging.getLogger(__name__)


def generate_answers(*, parts: Parts) -> None:
    """Answer one shard of each benchmark, on each variant.

    Args:
        parts: what is asked of which weights; the settings are section `generate_answers`.
    """
    load, vllm = Loader(parts.settings["dtype"]), cache(VllmEngine)
    for part in parts.each():
        with named(part):
            answer_questions(part, load, vllm)


def answer_questions(part: Part, load: Loader, vllm: Callable[..., VllmEngine]) -> None:
    """Answer one part; write its answers and how they were made."""
    started = time.perf_counter()
    table, weights = question_benchmark(part.benchmark), part.weights
    chosen = GenerateAnswersSettings.parse(table.settings, part.settings)
    questions = first_questions(table.questions(part.data), chosen.benchmark.limit, part.data)
    asked = {
        index: question
        for index, question in enumerate(questions)
        if index % part.job.shards == part.job.shard
    }
    generation = {"seed": chosen.seed, "max_new_tokens": chosen.benchmark.max_new_tokens}
    identity = answer_identity(weights, chosen.dtype, chosen.engine, generation)
    with part.open_store(identity) as stored:
        engine = vllm(weights, chosen.dtype) if chosen.engine == "vllm" else None
        before = engine.tokens_computed if engine else 0
        model = SharedPrefixModel(load_skeleton(weights), load=partial(load, weights))
        answerer = ChatAnswerer(
            model, load.tokenizer(weights.source.parent), chosen, stored, engine
        )
        given = answerer.answer(asked)
    write_jsonl(part.file("jsonl"), map(asdict, given))
    cut = sum(flag for one in given for flag in one.truncated)
    logger.info(
        "%s, %s: %d answers, %d turns cut at the limit",
        part.benchmark,
        weights.variant,
        len(given),
        cut,
    )
    top_k, top_p = sampling_limits(model.outline.generation_config)
    tokens = (engine or model).tokens_computed - before
    protocol: AnswersProtocol = {
        **part.made(chosen.engine, tokens, started),
        "top_k": top_k,
        "top_p": top_p,
        "questions": len(given),
        "turns_truncated": cut,
        "turns_with_less_room": answerer.turns_with_less_room,
        "turns_from_store": stored.hits,
    }
    write_json(part.file("json"), protocol)


if __name__ == "__main__":
    run_job(snakemake, generate_answers, unused=("benchmarks",))
