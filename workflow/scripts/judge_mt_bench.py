"""Judge MT-Bench answers: answers -> results/{run}/judgments/{variant}/mt_bench.jsonl and .json.

FastChat's single-answer grading: each turn of each question is rated from 1 to 10, math, reasoning
and coding against reference answers (https://arxiv.org/abs/2306.05685). One row a turn. A remote
judge's answers go to a store as they arrive, so a stopped run asks only what is missing; a judgment
without a readable rating is a counted failure.

Inputs: the answers of one variant, the benchmark's references and judge prompts, a local judge's
    checkpoint folder.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.documents.answer import Answer
from lorabench.files import read_jsonl, sha256_file, sha256_json, write_json, write_jsonl
from lorabench.job import run_job
from lorabench.judging.judges import open_judge
from lorabench.judging.mt_bench import (
    corrected_references,
    rate_turns,
    read_prompts,
    read_references,
    request_parameters,
    turns_to_rate,
)
from lorabench.judging.protocol import check_share, describe_judging
from lorabench.judging.settings import parse_judge
from lorabench.judging.store import AnswerStore


def judge_mt_bench(
    *,
    answers: Path,
    benchmark: Folder,
    references: Path | None,
    model: Path | None,
    store: Path,
    writer: str,
    settings: dict[str, Any],
    min_judged_share: float,
    rows: Path,
    protocol: Path,
) -> None:
    """Write the rating of every turn, and how it was made.

    Args:
        benchmark: folder with judge_prompts.jsonl and reference.jsonl.
        references: reference answers that replace some of the benchmark's own; None = its own.
        store, writer: folder of the answer store that all runs share, and this job's file in it,
            `{run}/{job}`.
        min_judged_share: the share of the turns that a score will need.
    """
    started = time.monotonic()
    judge_settings = parse_judge(settings["judge"])
    local = judge_settings.kind == "local"
    parameters = request_parameters(judge_settings, settings["max_tokens"])
    prompts_file, references_file = benchmark / "judge_prompts.jsonl", benchmark / "reference.jsonl"
    given = [Answer(**row) for _, row in read_jsonl(answers)]
    guides = read_references(references_file)
    if references is not None:
        guides = corrected_references(guides, references)
    turns = list(turns_to_rate(given, read_prompts(prompts_file), guides, parameters))
    with AnswerStore(store, writer) as answered:
        judge = open_judge(judge_settings, answered, model)
        ratings, replies = rate_turns(judge, turns, settings["reasks"])
    check_share(ratings, judge_settings, min_judged_share)
    document = describe_judging(
        benchmark="mt_bench",
        judge=judge,
        settings=judge_settings,
        store=answered,
        rows=ratings,
        replies=replies,
        prompt_sha256={"judge_prompts.jsonl": sha256_file(prompts_file)},
        details={
            "questions": len(given),
            "turns": len(turns),
            "corrected_references": references is not None,
            "answers_sha256": sha256_file(answers),
            "reference_sha256": sha256_json(guides),
            "max_tokens": None if local else settings["max_tokens"],
            "reasks": 0 if local else settings["reasks"],
        },
        wall_seconds=time.monotonic() - started,
    )
    write_jsonl(rows, map(asdict, ratings))
    write_json(protocol, document)


if __name__ == "__main__":
    run_job(snakemake, judge_mt_bench)
