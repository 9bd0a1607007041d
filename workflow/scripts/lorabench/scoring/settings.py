"""The config sections of scoring, comparison and the release gate."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lorabench.benchmark_tables import benchmark_names
from lorabench.section import Distinct, Section, Seed, Share

HELD_OUT = "held_out_loss"
# lines of the gate that are no benchmark -> the key of its bound, None where it has none
LINES = {
    HELD_OUT: HELD_OUT,
    "merge_error": "merge_error",
    "contamination": "contamination_share",
    "speed": "speed_ratio",
    "memory": "memory_ratio",
    "licences": None,
    "declaration": None,
}


class ComparisonSettings(Section):
    """Paired comparison of variants."""

    resamples: int = Field(ge=100, le=1_000_000)
    """Bootstrap resamples."""
    seed: Seed
    """Of the bootstrap."""
    equivalence_margin_share: Share
    """Merged equals lora if the interval of their difference is within this share; 0.01 = one
    percentage point."""
    equivalence_margin_rating: float = Field(gt=0, le=9)
    """The same on MT-Bench's scale from 1 to 10."""


def _known(*others: str) -> AfterValidator:
    """Return a check that a name is a benchmark or one of `others`."""

    def check(name: str) -> str:
        known = (*benchmark_names("scoring"), *others)
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}, found {name!r}")
        return name

    return AfterValidator(check)


class GateLimits(Section):
    """Bounds on what was measured."""

    merge_error: float | None = Field(gt=0, le=100)
    """Largest difference of a logit between the saved merged weights and base + adapter in the same
    precision; null = no line."""
    contamination_share: float | None = Field(ge=0, le=1)
    """Largest share of any benchmark's items that overlap with the training data; null = no
    line."""
    speed_ratio: float | None = Field(gt=0, le=100)
    """Least decode speed over the base's; null = no line."""
    memory_ratio: float | None = Field(gt=0, le=100)
    """Largest peak memory while generating over the base's; null = no line."""


class GateSettings(Section):
    """When may the adapter ship? See docs/gate.md.

    Recorded before the run with its time; a later change stays visible.
    """

    variant: Literal["merged", "lora"]
    """What would ship; its results decide."""
    alpha: float = Field(gt=0, le=0.2)
    """Risk of each one-sided test: a variant exactly at a margin passes with this probability."""
    margins: dict[Annotated[str, _known()], Annotated[float, Field(gt=0, le=9)] | None]
    """Benchmark -> largest acceptable loss against the base, a share or points of MT-Bench's scale;
    null = no line."""
    improvements: dict[Annotated[str, _known(HELD_OUT)], Annotated[float, Field(ge=0, le=9)] | None]
    """held_out_loss or benchmark -> least gain over the base that must be shown, in nat an answer
    token or as in margins; null = none. Where a benchmark has both, the improvement counts."""
    limits: GateLimits
    required: Distinct[Annotated[str, _known(*LINES)]] = Field(min_length=1)
    """Lines that must pass. Without a benchmark among them the answer is never yes. `base_model`
    (no random weights) is always required; `declaration` asks that the margins are older than the
    results."""

    def unbounded(self) -> list[str]:
        """Return the required lines that have no bound to be held against."""
        limits = self.limits.model_dump()
        given = {**self.margins, **limits}
        gains = self.improvements
        keys = {name: LINES.get(name, name) for name in self.required}
        return [
            name
            for name, key in keys.items()
            if key is not None and given.get(key) is None and gains.get(key) is None
        ]
