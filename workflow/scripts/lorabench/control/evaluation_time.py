"""How long the answers of a benchmark take on an H100 or H200, before a run has measured it.

The rates are of Llama 3 8B's shapes in bfloat16 on one H200, 2026-11-26: decoding of prototypes of
this project's captured step (batch 256), MMLU by this project's passes (docs/evaluation.md). Other
shapes are scaled by their parameters.
"""

import math
from collections.abc import Mapping
from typing import Any

from lorabench.control.benchmarks import TASKS
from lorabench.control.forecast import ANSWER_TOKENS
from lorabench.description.flops import Shapes, shapes_of
from lorabench.scoring.benchmark import RATING, scored_benchmark

SOURCE = "predicted from prototypes on one H200"
RATED_PARAMETERS = 8.03e9
# new tokens a second, of all rows together
DECODED = {"base": 14_670, "lora": 12_040, "merged": 14_670}
# seconds a step with few rows left: the longest answer ends a benchmark
STEP = {"base": 0.0075, "lora": 0.0104, "merged": 0.0075}
# five-shot questions of four choices a second: 14,042 in 57 s, LoRA 1.44 times as long
CHOSEN = {"base": 246, "lora": 171, "merged": 246}
# tokens of a worked solution, the mean of 400 of GSM8K's test set is 124
SOLUTION_TOKENS = 125


def predicted_seconds(
    run: Mapping[str, Any], benchmark: str, items: int, config: Mapping[str, Any]
) -> float:
    """Return the seconds that all variants need for their answers, without loading weights.

    Args:
        run: the run's config.
        benchmark: its name.
        items: of the benchmark; MT-Bench: questions of two turns.
        config: the base model's config.json.
    """
    task = benchmark in TASKS
    section = run["evaluate_task" if task else "generate_answers"][benchmark]
    variants, slower = run["score_benchmark"]["variants"], _size(shapes_of(dict(config)))
    longest = section.get("max_new_tokens")
    if longest is None:
        return slower * math.fsum(items / CHOSEN[variant] for variant in variants)
    turns = 2 if scored_benchmark(benchmark).unit == RATING else 1
    answer = min(longest, SOLUTION_TOKENS if task else ANSWER_TOKENS)
    return slower * math.fsum(
        turns * (items * answer / DECODED[variant] + longest * STEP[variant])
        for variant in variants
    )


def _size(shapes: Shapes) -> float:
    """Return the parameters over those of the measured model."""
    heads = 1 if shapes.tied else 2
    return (shapes.layer_parameters + heads * shapes.head_parameters) / RATED_PARAMETERS
