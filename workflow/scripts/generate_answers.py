"""Answer MT-Bench or AlpacaEval: checkpoint + questions -> results/{run}/answers/{variant}/{benchmark}.jsonl.

MT-Bench follows FastChat: the chat template, a temperature for each category, and in the second turn the model's own
first answer (https://arxiv.org/abs/2306.05685). AlpacaEval's single turn is answered greedily. A question's random
stream depends on the seed, the question and the turn only. Answers go to a store as they come, so that a killed job
repeats none.
"""

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lorabench.evaluation.chat_answers import ChatAnswerer
from lorabench.evaluation.identity import answer_identity, model_fingerprint
from lorabench.evaluation.questions import read_questions
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.sampling import sampling_limits
from lorabench.evaluation.settings import GenerateAnswersSettings
from lorabench.evaluation.shared_prefix_model import SharedPrefixModel
from lorabench.files import write_json, write_jsonl
from lorabench.job import job
from lorabench.llama import load_tokenizer, load_variant, resolve_dtype

logger = logging.getLogger(__name__)


def generate_answers(
    *,
    variant: str,
    benchmark: str,
    source: Path,
    adapter: Path | None,
    merged: Path | None,
    data: Path,
    answers: Path,
    protocol: Path,
    store: Path,
    settings: dict[str, Any],
) -> None:
    """Answer all questions of a benchmark.

    Args:
        variant: base, lora or merged.
        benchmark: mt_bench or alpaca_eval.
        source, adapter, merged: the small files that describe the weights beside them (see `model_fingerprint`).
        data: folder with the benchmark's rows.
        answers, protocol: outputs.
        store: folder of the answers given so far.
        settings: section `generate_answers` with this benchmark's keys under `benchmark`.
    """
    started = time.perf_counter()
    chosen = GenerateAnswersSettings.parse(settings)
    questions = read_questions(benchmark, data, chosen.benchmark.limit)
    dtype = str(resolve_dtype(chosen.dtype)).removeprefix("torch.")
    fingerprint = model_fingerprint(source, adapter, merged)
    generation = {"seed": chosen.seed, "max_new_tokens": chosen.benchmark.max_new_tokens}
    with ResponseStore(
        store / f"{variant}.{benchmark}.jsonl", answer_identity(fingerprint, dtype, generation)
    ) as stored:
        model = SharedPrefixModel(
            load_variant(
                variant,
                base=source.parent,
                adapter=adapter.parent if adapter else None,
                merged=merged.parent if merged else None,
                dtype=chosen.dtype,
            )
        )
        results = ChatAnswerer(model, load_tokenizer(source.parent), chosen, stored).answer(questions)
    write_jsonl(answers, map(asdict, results))
    cut = sum(flag for result in results for flag in result.truncated)
    logger.info("%s on %s: %d answers, %d turns cut at the token limit", benchmark, variant, len(results), cut)
    top_k, top_p = sampling_limits(model.model.generation_config)
    write_json(
        protocol,
        {
            "schema_version": 1,
            "protocol": protocol_sentence(benchmark, chosen, dtype, top_k, top_p),
            "settings": settings,
            "dtype": dtype,
            "device": str(model.device),
            "model": fingerprint,
            "questions": len(results),
            "turns_truncated": cut,
            "turns_from_store": stored.hits,
            "tokens_computed": model.tokens_computed,
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def protocol_sentence(benchmark: str, settings: GenerateAnswersSettings, dtype: str, top_k: int, top_p: float) -> str:
    """Return in one sentence how the answers were made."""
    limit = f"chat template, at most {settings.benchmark.max_new_tokens} new tokens a turn, {dtype}"
    if benchmark == "alpaca_eval":
        return f"AlpacaEval instructions, {limit}, greedy"
    return (
        f"MT-Bench questions, two turns, {limit}; FastChat's temperature for each category (0 = greedy), "
        f"top-k {top_k}, top-p {top_p}, seed {settings.seed} for each question"
    )


if __name__ == "__main__":
    with job(snakemake):  # noqa: F821
        given = snakemake  # noqa: F821
        torch.set_num_threads(given.threads)
        generate_answers(
            variant=given.wildcards.variant,
            benchmark=given.wildcards.benchmark,
            source=Path(given.input.model),
            adapter=Path(given.input.adapter) if given.input.get("adapter") else None,
            merged=Path(given.input.merged) if given.input.get("merged") else None,
            data=Path(given.input.benchmark).parent,
            answers=Path(given.output.answers),
            protocol=Path(given.output.protocol),
            store=Path(given.params.store),
            settings=given.params.settings,
        )
