"""GSM8K (arXiv 2110.14168): exact match of the final number, after worked examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lorabench.documents.item_result import ItemResult
from lorabench.evaluation.benchmark import Answered, BenchmarkSettings, HarnessTask, TaskBenchmark
from lorabench.evaluation.task_rows import exact_match_rows, read_rows
from lorabench.section import Count, Few

FIELDS = ("id", "question", "answer")


class Gsm8kSettings(BenchmarkSettings):
    """GSM8K."""

    task: Literal["gsm8k", "gsm8k_cot"]
    """gsm8k: worked examples from the training split; gsm8k_cot: the eight fixed chain-of-thought
    examples of Wei et al."""
    few_shot: Few | None
    """Examples in a prompt, the first n; null = the task's own number, 5 or 8."""
    answer_filter: Literal["strict-match", "flexible-extract"]
    """Which answer filter makes the score (both are recorded): the trained form of the answer, or
    the last number."""
    engine: Literal["transformers", "vllm"]
    """What generates: transformers (our passes over shared prefixes) or vllm (a GPU; environment
    envs/vllm.yaml)."""
    max_new_tokens: Count
    """Longest answer; answers that reach it are counted as truncated."""
    limit: Count | None
    """First n items; null = all."""


def gsm8k_tasks(
    task_file: Mapping[str, Any], data: Path, settings: Gsm8kSettings
) -> list[HarnessTask]:
    """Return the one task of GSM8K on train.jsonl and test.jsonl (id, question, answer)."""
    splits = {split: read_rows(data / f"{split}.jsonl", FIELDS) for split in ("train", "test")}
    splits["test"] = splits["test"][: settings.limit]
    return [
        HarnessTask(
            config={**task_file, "task": "gsm8k"},
            splits=splits,
            few_shot=settings.few_shot,
            examples="train",
            examples_place=f"{data}/train.jsonl",
            max_new_tokens=settings.max_new_tokens,
        )
    ]


def gsm8k_rows(answered: Answered, settings: Gsm8kSettings) -> list[ItemResult]:
    """Return a row for each answered item; the right answer is the number after "####"."""
    return exact_match_rows(
        answered, settings.answer_filter, lambda target: target.rsplit("####", 1)[-1].strip()
    )


BENCHMARK = TaskBenchmark(settings=Gsm8kSettings, tasks=gsm8k_tasks, rows=gsm8k_rows)
