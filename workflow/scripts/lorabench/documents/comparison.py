"""Comparison of the variants: results/{run}/compare.json."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lorabench.documents.limits import Interval, Positive, Share, Whole
from lorabench.documents.merge_report import MergeCheck

ReasonStatus = Literal["good", "bad", "neutral", "unknown"]
SpeedVerdict = Literal["faster", "slower", "no difference detectable"]
Question = Literal["adapter_helps", "cost_to_serve", "may_ship"]
PairName = Literal["lora_vs_base", "merged_vs_base", "merged_vs_lora"]
VerdictWord = Literal[
    "better", "worse", "no difference detectable at this n", "not shown", "no verdict"
]


class Reason(TypedDict):
    """One reason of an answer."""

    status: ReasonStatus
    text: str
    parts: NotRequired[list[str]]
    """What the reason consists of, a line each."""


class ShortAnswer(TypedDict):
    """The answer to one of the three questions."""

    answer: str
    """A word or two."""
    headline: str
    reasons: list[Reason]


class Answers(TypedDict):
    """The answers to the three questions."""

    adapter_helps: ShortAnswer
    cost_to_serve: ShortAnswer
    may_ship: ShortAnswer


class Bootstrap(TypedDict):
    """The difference's uncertainty by resampling."""

    standard_error: float | None
    interval: Interval | None
    method: str
    resampled_unit: str
    units: Positive


class Flips(TypedDict):
    """Right and wrong answers of two variants on the same items."""

    both_right: Whole
    only_reference: Whole
    only_variant: Whole
    both_wrong: Whole


class Equal(TypedDict):
    """Whether two variants are equal within the margin."""

    difference: float
    margin: Annotated[float, Field(gt=0)]
    p_value: float | None
    equivalent: bool
    interval: Interval | None
    n: int


class ContrastHead(TypedDict):
    """What every contrast holds."""

    carries_signal: bool
    """False where the judge's scores mean nothing."""
    items_dropped: Whole
    """Items that lack a score in one of the two variants."""


class Contrasted(ContrastHead):
    """Two variants on the same items."""

    status: Literal["ok"]
    reason: None
    items_changed: Whole
    """Items whose score differs."""
    difference: float
    """Variant - reference."""
    standard_error: float | None
    interval: Interval | None
    confidence: float
    n: Positive
    clusters: Positive
    p_value: Share | None
    p_value_holm: Share | None
    """Corrected for the family of tests; null where the contrast is not in it."""
    smallest_detectable: float | None
    method: str
    bootstrap: Bootstrap
    flips: Flips | None
    """Null where items are not right or wrong."""
    equivalence: Equal
    scope: str | None
    """What the verdict is about, null where that is the benchmark."""
    verdict: str
    verdict_word: VerdictWord


class NotContrasted(ContrastHead):
    """Two variants without a common scored item."""

    status: Literal["not_run"]
    reason: str


Contrast = Contrasted | NotContrasted


class BenchmarkComparison(TypedDict):
    """The contrasts of one benchmark."""

    unit: str
    reason: str | None
    """Why a variant has no score."""
    carries_signal: bool
    pairs: dict[PairName, Contrast]


class TestFamily(TypedDict):
    """The family of tests that Holm's correction covers."""

    method: str
    p_values: dict[str, float]
    """{benchmark}:{pair} -> p value."""
    adjusted: dict[str, float]


class MergedEqualsLora(TypedDict):
    """How merged and unmerged adapter agree."""

    merge_check: MergeCheck | None
    """Logits, from merge_report.json."""
    items: dict[str, Any]
    """Benchmark -> agreement of answers."""


class HeldOutLoss(TypedDict):
    """Exact loss on held-out conversations, nat an answer token."""

    word: str
    """What the interval shows."""
    base_nll: float
    adapter_nll: float
    interval: Interval | None
    """Of adapter - base, by conversation; null where the record has no losses by conversation or
    fewer than six."""
    base_perplexity: float
    adapter_perplexity: float
    tokens: int
    conversations: int | None


class SpeedRatio(TypedDict):
    """The speed of a variant against the base's."""

    ratio: float
    interval: Interval | None
    n: int
    verdict: SpeedVerdict


class ServingMetric(TypedDict):
    """A metric of one user's speed, by variant."""

    median: dict[str, float]
    ratio_to_base: dict[str, SpeedRatio]
    noise_band: Interval | None


class Comparison(TypedDict):
    """The content of compare.json."""

    schema_version: Literal[2]
    confidence: float
    settings: dict[str, Any]
    """The config section."""
    answers: Answers
    benchmarks: dict[str, BenchmarkComparison]
    holm: TestFamily
    merged_equals_lora: MergedEqualsLora
    validation: HeldOutLoss | None
    """Null where training measured no loss."""
    serving: dict[str, ServingMetric] | None
    """Metric -> medians and ratios to the base; null where inference was not measured."""
    peak_memory_bytes: dict[str, float | None]
    """By variant."""
