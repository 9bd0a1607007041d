"""The `judge` part of the judging sections: which judge, how it is reached, what it may cost."""

import math
from dataclasses import dataclass, fields
from typing import Any

from lorabench.errors import ConfigurationError
from lorabench.judging.availability import base_url_fault

# What a limit is worth depends on these being numbers: nothing is larger than not-a-number.
NUMBERS = (
    "timeout_seconds",
    "usd_per_million_input_tokens",
    "usd_per_million_output_tokens",
    "max_judge_usd",
)


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """One judge. A local judge reads `tokens_per_batch` and `dtype` only, a remote one all the
    others."""

    # openai | anthropic | local
    kind: str
    # the provider's model id
    model: str | None
    # None = the provider's own address
    base_url: str | None
    # None = not sent
    temperature: float | None
    # requests in flight
    concurrency: int
    # of one request
    timeout_seconds: float
    usd_per_million_input_tokens: float
    usd_per_million_output_tokens: float
    # of all judging that shares the store
    max_judge_usd: float
    # local: padded tokens a forward pass
    tokens_per_batch: int
    # local: auto | bfloat16 | float32
    dtype: str
    # whether scores may decide anything: True | False | "auto" = a remote judge's may
    carries_signal: bool | str

    @property
    def signal(self) -> bool:
        """Return whether this judge tells good answers from bad, by the user's word or its kind.

        A local judge may be far too small for it, so it must be vouched for.
        """
        if isinstance(self.carries_signal, bool):
            return self.carries_signal
        return self.kind != "local"

    @property
    def identity(self) -> dict[str, Any]:
        """Return what makes two answers of a remote judge interchangeable, beside prompt and
        parameters."""
        return {"kind": self.kind, "model": self.model, "base_url": self.base_url}


def parse_judge(section: dict[str, Any]) -> JudgeSettings:
    """Turn the config's `judge` into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, the kind is not one that can judge, or a
            value is not one to work with.
    """
    known = {field.name for field in fields(JudgeSettings)}
    if wrong := sorted(known ^ set(section)):
        verb = "unknown" if set(wrong) - known else "missing"
        raise ConfigurationError(
            f"judge: {verb} key {wrong[0]!r}; expected exactly {', '.join(sorted(known))}"
        )
    if section["kind"] not in ("openai", "anthropic", "local"):
        raise ConfigurationError(
            f"judge.kind {section['kind']!r} cannot judge; expected openai, anthropic or local"
        )
    for name in NUMBERS:
        value = section[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ConfigurationError(f"judge.{name}: {value!r}, expected a number of 0 or more")
        if math.isinf(value):
            raise ConfigurationError(f"judge.{name}: {value!r}, expected a finite number")
    if section["carries_signal"] not in ("auto", True, False):
        raise ConfigurationError(
            f"judge.carries_signal {section['carries_signal']!r}: expected auto, true or false"
        )
    if fault := base_url_fault(section["base_url"]):
        raise ConfigurationError(fault)
    return JudgeSettings(**section)
