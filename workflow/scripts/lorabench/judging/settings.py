"""The config sections of the judging stage."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lorabench.errors import ConfigurationError
from lorabench.judging.availability import base_url_fault
from lorabench.section import Count, Dtype, Few, LocalPath, Section, Text


def _address(text: str) -> str:
    if fault := base_url_fault(text):
        raise ValueError(fault)
    return text


class JudgeSettings(Section):
    """Which judge, how it is reached, what it may cost.

    A local judge reads `dtype` only, a remote one all the others.
    """

    kind: Literal["openai", "anthropic", "local", "none"]
    """`openai` (any compatible endpoint), `anthropic`, `local` (reads probabilities of a model
    here) or `none`. Keys come from OPENAI_API_KEY and ANTHROPIC_API_KEY."""
    model: Text | None
    """Model id as the provider names it. Unused by a local judge."""
    base_url: Annotated[str, AfterValidator(_address)] | None
    """Address of a compatible endpoint; null = the provider's own."""
    temperature: float | None = Field(ge=0, le=2)
    """Sampling temperature; null = not sent."""
    concurrency: int = Field(ge=1, le=1000)
    """Requests in flight."""
    timeout_seconds: float = Field(gt=0, le=86_400)
    """Longest wait for one answer."""
    usd_per_million_input_tokens: float = Field(ge=0)
    """Price for the cost estimate and the spending limit."""
    usd_per_million_output_tokens: float = Field(ge=0)
    """Price for the cost estimate and the spending limit."""
    max_judge_usd: float = Field(ge=0)
    """Limit for the whole run, both benchmarks and all variants: judging stops before it is
    exceeded; answers paid for are kept."""
    dtype: Dtype
    """Local judge: of its weights; auto = bfloat16 where the machine multiplies it fast, else
    float32."""
    carries_signal: bool | Literal["auto"]
    """Whether the judge's scores may decide anything: `auto` = those of a remote judge; `true`
    where a local judge's agreement with people was measured; `false` = never."""

    @property
    def signal(self) -> bool:
        """Return whether this judge's scores count: as the user says, else by its kind.

        A local judge may be too small to tell good answers from bad, so the user must say that it
        can.
        """
        if isinstance(self.carries_signal, bool):
            return self.carries_signal
        return self.kind != "local"

    @property
    def identity(self) -> dict[str, Any]:
        """Return what answers of a remote judge depend on, besides prompt and parameters."""
        return {"kind": self.kind, "model": self.model, "base_url": self.base_url}


class JudgeMtBenchSettings(Section):
    """Rate MT-Bench answers from 1 to 10 (FastChat's single-answer grading)."""

    judge: JudgeSettings
    """Keys of `judge` that differ for this benchmark; {} = none (MT_BENCH_JUDGE_MODEL sets
    `model`)."""
    max_tokens: Count
    """Longest judgment."""
    reasks: Few
    """Further requests where no rating can be read."""
    references: LocalPath | None
    """File of corrected reference answers, a JSONL of question_id and turns, that replace the
    benchmark's own; null = its own. Some of the original GPT-4 answers are wrong."""


class JudgeAlpacaEvalSettings(Section):
    """Compare AlpacaEval answers in pairs."""

    judge: JudgeSettings
    """Keys of `judge` that differ for this benchmark; {} = none."""
    reference: Literal["published", "base"]
    """`published` = the benchmark's reference outputs; `base` = the base variant's own answers,
    head to head."""
    max_tokens: Count
    """Longest verdict: 1, the letter m or M, as published; a judge that thinks before it answers
    needs about 2000."""
    reasks: Few
    """Further requests where the answer names neither output."""
    both_orders: bool
    """Judge each pair in both orders and average, which cancels a preference for a position."""


def parse_judge(section: dict[str, Any]) -> JudgeSettings:
    """Turn the config's `judge` into settings.

    Raises:
        ConfigurationError: a key or value is not what the section takes, or the kind is not one
            that can judge.
    """
    settings = JudgeSettings.parse_section(section, "judge")
    if settings.kind == "none":
        raise ConfigurationError(
            "judge.kind 'none' cannot judge; expected openai, anthropic or local"
        )
    return settings
