"""Limits that numbers and texts of several documents keep to."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, GetPydanticSchema, WithJsonSchema


def one_of(*words: str) -> WithJsonSchema:
    """Return the annotation of a text that is one of some words."""
    return WithJsonSchema({"enum": list(words)})


Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[Sequence[float], Field(min_length=2, max_length=2, description="[low, high].")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Variant = Annotated[str, one_of("base", "lora", "merged")]
# base_again is the A/A control
Arm = Annotated[str, one_of("base", "lora", "merged", "base_again")]


def row_of(kind: type) -> GetPydanticSchema:
    """Return the annotation of a dict that was made by `asdict` of a dataclass."""
    return GetPydanticSchema(lambda _, handler: handler(kind))
