"""Everything that the report says: results/{run}/report/report.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lorabench.documents.comparison import (
    HeldOutLoss,
    MergedEqualsLora,
    ServingMetric,
    ShortAnswer,
    TestFamily,
)
from lorabench.documents.gate import GateLine
from lorabench.documents.limits import Interval, row_of
from lorabench.documents.source import SourceRecord


class AnsweredQuestion(ShortAnswer):
    """One of the three questions with its answer."""

    question: str
    key: str


@dataclass(frozen=True, kw_only=True)
class GateRow(GateLine):
    """A line of gate.json with its words."""

    title: str
    status: Literal["good", "bad", "unknown"]
    word: str
    """The verdict in words."""
    text: str
    """What the line shows."""


class GateTable(TypedDict):
    """The release gate, see gate.json."""

    variant: str
    answer: str
    headline: str
    declared: str
    """When the margins were declared."""
    lines: list[Annotated[dict[str, Any], row_of(GateRow)]]


class VariantScore(TypedDict):
    """A variant's score; null fields where it did not run."""

    status: Literal["ok", "not_run"]
    score: float | None
    standard_error: float | None
    interval: Interval | None
    n: int | None
    failures: dict[str, int] | None
    above_chance: bool | None
    breakdown: dict[str, Any] | None
    secondary: dict[str, Any] | None
    reason: str | None


class PartTable(TypedDict):
    """A table of a benchmark's parts."""

    title: str
    rows: list[dict[str, Any]]


class PublishedValue(TypedDict):
    """A published score, as context."""

    benchmark: str
    value: str
    protocol: str
    source: str
    comparable: bool
    why: str
    score: float | None
    """As a number in our unit."""
    standard_error: float | None
    ours: float | None
    """Score of our base."""
    standard_errors: float | None
    """(Ours - published) over the root of the summed squared errors."""
    off: bool
    """Our base is more than 3 standard errors away from a value of its protocol."""


class ChangedGroup(TypedDict):
    """Items of one subject or category."""

    group: str
    n: int
    worse: int
    better: int
    mean_change: float


class ItemChanges(TypedDict):
    """Items of a variant against the base, groups that lost most first."""

    variant: str
    n: int
    worse: int
    better: int
    groups: list[ChangedGroup]


class RunFacts(TypedDict):
    """When, from which commit, on what and how long a run was made; null for what is not known."""

    trained_at: str | None
    declared_at: str
    """When the margins of the gate were declared."""
    commit: str | None
    changed_files: bool | None
    seconds: dict[str, float]
    """Stage -> seconds of its jobs' last attempts."""
    hardware: str | None
    training_memory_bytes: float | None
    training_memory_of: Literal["GPU", "process"]
    energy_kwh: float | None
    energy_reason: str | None
    """Why there is no energy."""


class BenchmarkReport(TypedDict):
    """One benchmark."""

    benchmark: str
    """A name of lorabench/scoring/benchmarks."""
    title: str
    status: Literal["ok", "not_run"]
    reason: str | None
    metric: str
    unit: str
    chance: float | None
    carries_signal: bool
    protocol: str | None
    protocol_detail: dict[str, Any] | None
    variants: dict[str, VariantScore]
    tables: list[PartTable]
    contrasts: list[dict[str, Any]]
    """Contrasts of compare.json with their text."""
    published: list[PublishedValue]
    by_construction: dict[str, str]
    """Variant -> why its score is no measurement."""
    changes: ItemChanges | None


class TrainingReport(TypedDict):
    """The training without its steps.

    Its parts are of train_metrics.json and run_config.json, which have their own schemas.
    """

    status: Literal["ok", "not_run"]
    reason: str | None
    likelihood: Mapping[str, Any] | None
    validation: HeldOutLoss | None
    totals: Mapping[str, Any] | None
    resumed_at_step: NotRequired[int | None]
    phase_seconds: NotRequired[dict[str, float] | None]
    peak_memory: NotRequired[dict[str, int | None] | None]
    power: NotRequired[Mapping[str, Any] | None]
    data: NotRequired[dict[str, int] | None]
    speed: NotRequired[list[str]]
    """Sentences on how it computed and how well it used its device."""
    settings: NotRequired[dict[str, Any] | None]
    resolved: NotRequired[dict[str, Any] | None]


class InferenceReport(TypedDict):
    """Speed and memory."""

    serving: dict[str, ServingMetric] | None
    """Metric -> medians and ratios to the base; null where inference was not measured."""
    peak_memory_bytes: dict[str, float | None]
    conditions: Mapping[str, Mapping[str, Any]]
    """Variant -> perf/{variant}.json."""


class Provenance(TypedDict):
    """Where everything came from."""

    sources: dict[str, SourceRecord]
    run_config: Mapping[str, Any] | None
    """What an imported adapter brought may have any form."""


class Report(TypedDict):
    """The content of report.json."""

    schema_version: Literal[2]
    run: str
    model: str
    """Name of the base model."""
    facts: RunFacts
    confidence: float
    answers: Annotated[list[AnsweredQuestion], Field(min_length=3, max_length=3)]
    gate: GateTable
    notices: list[str]
    benchmarks: list[BenchmarkReport]
    family_of_tests: TestFamily
    merged_equals_lora: MergedEqualsLora
    training: TrainingReport
    merge: Mapping[str, Any] | None
    """merge_report.json."""
    inference: InferenceReport
    data: Mapping[str, Any] | None
    """summary.json of the conversations."""
    contamination: dict[str, Any] | None
    """Benchmark -> words in a row -> number of items."""
    limits: list[str]
    provenance: Provenance
    git: NotRequired[dict[str, Any] | None]
    """Published copies only."""
