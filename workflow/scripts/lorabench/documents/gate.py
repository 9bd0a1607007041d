"""The release gate's files: results/{run}/gate_declaration.json and results/{run}/gate.json.

The gate holds numbers and codes; sentences are made from them where reports are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LineVerdict = Literal["pass", "fail", "not_shown", "missing"]
Answer = Literal["yes", "no", "not_shown"]
# of `make gate`'s command: 3 = the evidence does not decide
EXIT_CODES: dict[Answer, int] = {"yes": 0, "no": 1, "not_shown": 3}


@dataclass(frozen=True, kw_only=True)
class GateLine:
    """One condition of the release, with the numbers that decided it."""

    # "gsm8k", "held_out_loss", "merge_error", "contamination", "speed", "memory", "licences", …
    name: str
    # margin: at most so much worse than the base | improvement: at least so much better |
    # limit: a bound on a measured number | check: something is there and right
    kind: Literal["margin", "improvement", "limit", "check"]
    # an optional line is shown and decides nothing
    required: bool
    verdict: LineVerdict
    # why, one of the codes in docs/gate.md
    code: str
    # "share", "rating 1-10", "nat", "logit", "ratio"; None for a check
    unit: str | None = None
    # of the deciding variant; for margin and improvement the gain over the base, more is better
    estimate: float | None = None
    # two-sided, at 1 - 2 alpha; None where a number has no uncertainty that was measured
    interval: tuple[float, float] | None = None
    # what the interval or the number is held against, on the same scale
    threshold: float | None = None
    # independent units (items, MT-Bench questions, conversations) that were compared
    units: int | None = None
    # further units that would settle the line if the estimate stays; None where none would
    more_units: int | None = None
    # names that the code speaks of: missing files, the dearest benchmark, a reason
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One declaration of margins, as it was first seen."""

    # of the settings as sorted JSON
    sha256: str
    # UTC, ISO 8601
    declared_at: str
    # result files that existed then: path below the run -> SHA-256
    known_results: dict[str, str]
    # the config section
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class GateDeclaration:
    """results/{run}/gate_declaration.json: every declaration of a run, the one in force last."""

    schema_version: int
    history: list[Declared]


@dataclass(frozen=True, kw_only=True)
class DeclarationState:
    """What the history says about the margins in force and the results that they were held
    against."""

    sha256: str
    declared_at: str
    # declarations of this run so far
    declarations: int
    # results in use that were known when the margins in force were declared
    known_results: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GateDocument:
    """results/{run}/gate.json."""

    schema_version: int
    run: str
    # the variant that would ship
    variant: str
    # of each one-sided test
    alpha: float
    answer: Answer
    exit_code: int
    declaration: DeclarationState
    lines: list[GateLine]


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
