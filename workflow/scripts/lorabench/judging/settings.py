"""The `judge` part of the judging sections: which judge, how it is reached, what it may cost."""

from dataclasses import dataclass, fields
from typing import Any

from lorabench.errors import ConfigurationError


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

    @property
    def identity(self) -> dict[str, Any]:
        """Return what makes two answers of a remote judge interchangeable, beside prompt and
        parameters."""
        return {"kind": self.kind, "model": self.model, "base_url": self.base_url}


def parse_judge(section: dict[str, Any]) -> JudgeSettings:
    """Turn the config's `judge` into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, or the kind is not one that can judge.
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
    return JudgeSettings(**section)
