"""What to measure: the config section and the performance prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """The config section `measure_inference`."""

    variants: list[str]
    dtype: str
    # first n of the file
    prompts: int
    # at least 2: one gap between tokens
    new_tokens: int
    repeats: int
    # rounds over all prompts that are not recorded
    warmup: int


@dataclass(frozen=True, kw_only=True)
class PerformancePrompt:
    """One prompt whose generation is timed."""

    id: str
    category: str
    text: str


def parse_settings(section: dict[str, Any]) -> InferenceSettings:
    """Turn the config section into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is too small.
    """
    try:
        settings = InferenceSettings(**section)
    except TypeError as error:
        raise ConfigurationError(
            f"measure_inference: {str(error).removeprefix('InferenceSettings.__init__() ')}"
        ) from None
    smallest = {"prompts": 1, "new_tokens": 2, "repeats": 1, "warmup": 0}
    for key, least in smallest.items():
        if section[key] < least:
            raise ConfigurationError(
                f"measure_inference.{key}: expected at least {least}, found {section[key]}"
            )
    return settings


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
