"""The release gate's files: results/{run}/gate_declaration.json and results/{run}/gate.json.

The gate holds numbers and codes; sentences are made from them where reports are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from lorabench.documents.limits import Positive, Sha256

LineVerdict = Literal["pass", "fail", "not_shown", "missing"]
Answer = Literal["yes", "no", "not_shown"]


@dataclass(frozen=True, kw_only=True)
class GateLine:
    """One condition of the release, with the numbers that decided it."""

    name: str
    """A benchmark, held_out_loss, merge_error, contamination, speed, memory, licences, …"""
    kind: Literal["margin", "improvement", "limit", "check"]
    """Margin: at most so much worse than the base | improvement: at least so much better | limit: a
    bound on a measured number | check: something is there and right."""
    required: bool
    """An optional line is shown and decides nothing."""
    verdict: LineVerdict
    code: str
    """Why, one of the codes in docs/gate.md."""
    unit: str | None = None
    """share, rating 1-10, nat, logit, ratio; null for a check."""
    estimate: float | None = None
    """Of the deciding variant; for margin and improvement the gain over the base: more is
    better."""
    interval: tuple[float, float] | None = None
    """Two-sided, at 1 - 2 alpha; null where a number has no uncertainty that was measured."""
    threshold: float | None = None
    """What the interval or the number is held against, on the same scale."""
    units: int | None = None
    """Independent units (items, MT-Bench questions, conversations) that were compared."""
    more_units: int | None = None
    """Further units that would settle the line if the estimate stays; null where none would."""
    detail: tuple[str, ...] = ()
    """Names that the code speaks of: missing files, the dearest benchmark, a reason."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One declaration of margins, as it was first seen."""

    sha256: Sha256
    """Of the settings as sorted JSON."""
    declared_at: str
    """UTC, ISO 8601."""
    known_results: dict[str, str]
    """Result files that existed then: path below the run -> SHA-256."""
    settings: dict[str, Any]
    """The config section."""


@dataclass(frozen=True, kw_only=True)
class GateDeclaration:
    """results/{run}/gate_declaration.json: every declaration of a run, the one in force last."""

    schema_version: Literal[1]
    history: Annotated[list[Declared], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class DeclarationState:
    """What the history says about the margins in force and the results that they judged."""

    sha256: Sha256
    declared_at: str
    declarations: Positive
    """Declarations of this run so far."""
    known_results: tuple[str, ...]
    """Results in use that were known when the margins in force were declared."""


@dataclass(frozen=True, kw_only=True)
class GateDocument:
    """results/{run}/gate.json."""

    schema_version: Literal[1]
    run: str
    variant: Literal["merged", "lora"]
    """The variant that would ship."""
    alpha: float
    """Of each one-sided test."""
    answer: Answer
    exit_code: Literal[0, 1, 3]
    declaration: DeclarationState
    lines: Annotated[list[GateLine], Field(min_length=1)]


def gate_of(content: Mapping[str, Any]) -> GateDocument:
    """Return the document that gate.json holds."""
    lines = [
        GateLine(
            **{
                **line,
                "interval": tuple(line["interval"]) if line["interval"] else None,
                "detail": tuple(line["detail"]),
            }
        )
        for line in content["lines"]
    ]
    state = content["declaration"]
    declaration = DeclarationState(**{**state, "known_results": tuple(state["known_results"])})
    return GateDocument(**{**content, "lines": lines, "declaration": declaration})
