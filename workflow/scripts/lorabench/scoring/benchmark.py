"""What scoring and reports know of a benchmark: its score, how variants are compared, its words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lorabench.benchmark_tables import find_benchmark
from lorabench.documents.item_result import ItemResult
from lorabench.documents.score import Part, Unit
from lorabench.scoring.estimates import Average, share

# rows that have a score, confidence -> name -> part of the score
Breakdown = Callable[[Sequence[ItemResult], float], dict[str, Part]]
# the same -> name -> part, or parts by name, or what else a score says
Secondary = Callable[[Sequence[ItemResult], float], dict[str, Any]]
SHARE: Literal["share"] = "share"
RATING: Literal["rating 1-10"] = "rating 1-10"


def no_parts(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return nothing: the benchmark has no parts of this kind."""
    return {}


@dataclass(frozen=True, kw_only=True)
class ScoredBenchmark:
    """A benchmark from its item rows to the words of a report."""

    # as reports write it
    title: str
    # "exact_match" | "accuracy" | "mean_judge_rating" | "win_rate"
    metric: str
    # items that published scores rest on
    items: int
    # protocol of the rows, `AnswersProtocol` of the judged answers (None without a judge) -> the
    # sentence that says how the score was made
    protocol: Callable[[Any, Any], str]
    # SHARE (0 to 1) or RATING (1 to 10)
    unit: Unit = SHARE
    average: Average = share
    # rows are 0 or 1: variants are compared by their flips (McNemar), else by differences
    right_or_wrong: bool = True
    # share of items that exactly one of two variants answers right, as a plan assumes it; of a LoRA
    # adapter on an instruct model
    flips: float = 0.12
    # what a cluster of rows is that is resampled as a whole, None where items are their own
    cluster: str | None = None
    # what the verdict is about where items are their own units although they have clusters
    scope: str | None = None
    # score of guessing
    chance: float | None = None
    # the score in parts, and the title of their table
    breakdown: Breakdown = no_parts
    breakdown_title: str = "parts"
    # further scores of the same rows
    secondary: Secondary = no_parts
    # titles of parts whose names are not words
    part_titles: Mapping[str, str] = field(default_factory=dict)
    # AlpacaEval's length-controlled win rate is made, too
    length_control: bool = False


def scored_benchmark(benchmark: str) -> ScoredBenchmark:
    """Return the table of a benchmark.

    Raises:
        ConfigurationError: there is no such benchmark.
    """
    return find_benchmark("scoring", benchmark, ScoredBenchmark)
