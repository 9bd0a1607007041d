"""What to measure: the config section and the performance prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.section import Count, Distinct, Dtype, Section, Variant


class InferenceSettings(Section):
    """Latency, throughput and memory, all variants interleaved in one job."""

    variants: Distinct[Variant] = Field(min_length=1)
    """Variants to measure."""
    dtype: Dtype
    """Of the model."""
    prompts: int = Field(ge=1, le=20)
    """First n of the 20 performance prompts."""
    new_tokens: int = Field(ge=2)
    """Tokens generated for every prompt; the end of turn is suppressed."""
    repeats: Count
    """Recorded rounds over all prompts and variants."""
    warmup: int = Field(ge=0)
    """Rounds before that are not recorded."""


@dataclass(frozen=True, kw_only=True)
class PerformancePrompt:
    """One prompt whose generation is timed."""

    id: str
    category: str
    text: str


def parse_settings(section: dict[str, Any]) -> InferenceSettings:
    """Turn the config section into settings.

    Raises:
        ValidationError: a key is unknown or missing, or a value is not what the key takes.
    """
    return InferenceSettings(**section)


def read_prompts(path: Path, count: int) -> list[PerformancePrompt]:
    """Return the first `count` prompts of a JSON Lines file of {id, category, prompt}.

    Raises:
        DataError: a field is missing or not text, or the file has fewer prompts.
    """
    prompts: list[PerformancePrompt] = []
    for number, row in read_jsonl(path):
        for field in ("id", "category", "prompt"):
            if not isinstance(row.get(field), str):
                raise DataError(
                    f"{path}:{number}: field {field!r}: expected text, found {row.get(field)!r}"
                )
        prompts.append(
            PerformancePrompt(id=row["id"], category=row["category"], text=row["prompt"])
        )
    if len(prompts) < count:
        raise DataError(
            f"{path}: {count} prompts wanted (measure_inference.prompts), the file has"
            f" {len(prompts)}"
        )
    return prompts[:count]
