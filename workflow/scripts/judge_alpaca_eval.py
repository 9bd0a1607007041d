"""Judge AlpacaEval answers: answers -> results/{run}/judgments/{variant}/alpaca_eval.*.

AlpacaEval 2's pairwise comparison with a reference output (https://arxiv.org/abs/2404.04475): the
benchmark's published outputs, or the base variant's answers. One row an instruction; its score is
the preference for the variant from 0 to 1, weighted by the judge's log-probabilities where it gives
them. Their mean is the win rate.

Inputs: the answers of one variant, the base's answers where they are the reference, the benchmark's
    instructions and judge prompt, a local judge's checkpoint folder.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.documents.answer import Answer
from lorabench.files import read_jsonl, sha256_file, write_json, write_jsonl
from lorabench.job import run_job
from lorabench.judging.alpaca_eval import (
    compare_pairs,
    pairs_to_judge,
    read_messages,
    read_references,
    request_parameters,
)
from lorabench.judging.judges import open_judge
from lorabench.judging.protocol import check_share, describe_judging
from lorabench.judging.settings import parse_judge
from lorabench.judging.store import AnswerStore


def judge_alpaca_eval(
    *,
    answers: Path,
    reference_answers: Path | None,
    benchmark: Folder,
    model: Path | None,
    store: Path,
    writer: str,
    settings: dict[str, Any],
    min_judged_share: float,
    rows: Path,
    protocol: Path,
) -> None:
    """Write the preference for the variant on every instruction, and how it was made.

    Args:
        reference_answers: the same of the base variant; None = the benchmark's published outputs.
        benchmark: folder with instructions.jsonl and judge_prompt.txt.
        store, writer: folder of the answer store that all runs share, and this job's file in it,
            `{run}/{job}`.
        min_judged_share: the share of the instructions that a score will need.
    """
    started = time.monotonic()
    judge_settings = parse_judge(settings["judge"])
    parameters = request_parameters(judge_settings, settings["max_tokens"])
    prompt_file = benchmark / "judge_prompt.txt"
    given = [Answer(**row) for _, row in read_jsonl(answers)]
    if reference_answers is None:
        references = read_references(benchmark / "instructions.jsonl")
    else:
        references = {str(row["id"]): row["outputs"][0] for _, row in read_jsonl(reference_answers)}
    pairs = pairs_to_judge(
        given, references, read_messages(prompt_file), parameters, settings["both_orders"]
    )
    with AnswerStore(store, writer) as answered:
        judge = open_judge(judge_settings, answered, model)
        preferences, replies = compare_pairs(judge, pairs, settings["reasks"])
    check_share(preferences, judge_settings, min_judged_share)
    document = describe_judging(
        benchmark="alpaca_eval",
        judge=judge,
        settings=judge_settings,
        store=answered,
        rows=preferences,
        replies=replies,
        prompt_sha256={"judge_prompt.txt": sha256_file(prompt_file)},
        details={
            "questions": len(given),
            "answers_sha256": sha256_file(answers),
            "reference": "published" if reference_answers is None else "base",
            "both_orders": settings["both_orders"],
            "preference_kinds": sorted(
                {order["kind"] for row in preferences for order in row.detail["orders"]}
            ),
            "identical_outputs": sum(row.detail["identical"] for row in preferences),
        },
        wall_seconds=time.monotonic() - started,
    )
    write_jsonl(rows, map(asdict, preferences))
    write_json(protocol, document)


if __name__ == "__main__":
    run_job(snakemake, judge_alpaca_eval)
