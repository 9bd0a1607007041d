"""Score of one benchmark and variant: results/{run}/eval/{variant}/{benchmark}.json."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lorabench.documents.limits import Interval, Positive, Variant

Unit = Literal["share", "rating 1-10"]


class Part(TypedDict):
    """The average of a part of the items."""

    score: float
    standard_error: float | None
    interval: Interval | None
    n: Positive
    group: NotRequired[str]
    """Of an MMLU subject."""


class ScoreHead(TypedDict):
    """What every score file holds."""

    schema_version: Literal[1]
    benchmark: str
    variant: Variant
    metric: str
    unit: Unit


class ScoreFigures(TypedDict):
    """The numbers of a score, made of item rows."""

    score: float
    """0 to 1, or 1 to 10."""
    standard_error: float | None
    """Null where items or clusters are too few."""
    interval: Interval | None
    confidence: Annotated[float, Field(gt=0, lt=1)]
    interval_method: str
    n: Positive
    """Items that were averaged."""
    items: Positive
    """Items that were asked, those without a score included."""
    failures: dict[str, int]
    """Outcome -> items without a score."""
    chance: float | None
    """Score of guessing."""
    above_chance: bool | None
    """Whether the interval is above guessing; null where that is not defined."""
    breakdown: dict[str, Part]
    """Part of the benchmark (subject, category, turn) -> its score."""
    secondary: dict[str, Any]
    """Further scores of the same items."""


class Scored(ScoreHead, ScoreFigures):
    """A benchmark that ran."""

    status: Literal["ok"]
    reason: None
    protocol: str
    """How the score came about, in one sentence."""
    protocol_detail: dict[str, Any]
    """The facts behind that sentence."""
    carries_signal: bool
    """False where the judge's scores mean nothing."""


class NotScored(ScoreHead):
    """A benchmark that has no score."""

    status: Literal["not_run"]
    reason: str


Score = Scored | NotScored
