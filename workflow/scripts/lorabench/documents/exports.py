"""The published files of a report: reports/bench/{git-sha}/."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from lorabench.documents.answer import Answer
from lorabench.documents.comparison import Answers, Contrast, PairName, ServingMetric
from lorabench.documents.item_result import ItemResult
from lorabench.documents.limits import Variant, row_of
from lorabench.documents.performance import Performance, PerformanceFigures
from lorabench.documents.score import Score


class GitState(TypedDict):
    """The working tree that the report was made from."""

    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    dirty: bool
    """Whether tracked files differ from the commit."""


class ExportHead(TypedDict):
    """What every published file begins with."""

    schema_version: Literal[1]
    run: str
    git: GitState | None
    """Null outside git."""


class EvalResults(ExportHead):
    """All scores and comparisons: eval_results.json."""

    scores: dict[str, dict[str, Score]]
    """Benchmark -> variant -> score."""
    comparisons: dict[str, dict[PairName, Contrast]]
    """Benchmark -> pair -> contrast."""
    answers: Answers


class VariantItems(TypedDict):
    """Score and items of a variant."""

    score: Score
    items: list[Annotated[dict[str, Any], row_of(ItemResult)]]


class ItemResults(ExportHead):
    """Every item of a benchmark."""

    benchmark: str
    variants: dict[str, VariantItems]


@dataclass(frozen=True, kw_only=True)
class JudgedAnswer(Answer):
    """Answers to one question with the scores of their turns."""

    scores: list[float | None]
    """Null where the judge gave none."""


class VariantOutputs(TypedDict):
    """Score and answers of a variant."""

    score: Score
    outputs: list[Annotated[dict[str, Any], row_of(JudgedAnswer)]]


class AnswerOutputs(ExportHead):
    """Every answer of a benchmark with its judgment."""

    benchmark: str
    variants: dict[str, VariantOutputs]


class PerfResults(ExportHead):
    """Inference of all variants: perf_results.json."""

    status: Literal["ok", "not_run"]
    reason: str | None
    variants: dict[str, Performance]
    serving: dict[str, ServingMetric] | None
    """Metric -> medians and ratios to the base; null where inference was not measured."""


class ExportedMeasurement(ExportHead, PerformanceFigures):
    """Inference of one variant: perf_{variant}.json."""

    variant: Variant


class NotExported(ExportHead):
    """A variant that was not measured."""

    variant: Variant
    status: Literal["not_run"]
    reason: str


PerfVariant = ExportedMeasurement | NotExported
