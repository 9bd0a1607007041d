"""What config sections are declared with: one class a section, in the room that works by it.

A key is an annotated attribute; the text below it is what config/README.md says of it. From these
classes come the checks of a config, that page and config/schema.json. Texts below keys are no part
of a rule's hash, so that a better word makes nothing stale.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lorabench.errors import ConfigurationError

T = TypeVar("T")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAME_LENGTH = 100


class Section(BaseModel):
    """A part of the config. Unknown keys, values of another type, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def parse_section(cls, values: Mapping[str, Any], place: str) -> Self:
        """Return the section that a job was given; `place` is its key path.

        A config is checked before any job, see `lorabench.control.configuration`; this is for what
        calls a stage directly.

        Raises:
            ConfigurationError: a key or value is not what the section takes.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, (place, *fault['loc'])))}:"
                f" {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            )
            raise ConfigurationError("; ".join(faults)) from None


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError(f"expected some text, found {text!r}")
    if not text.isprintable():
        raise ValueError(f"expected one line without control characters, found {text!r}")
    # of a path; no name is as long
    if len(text) > 4096:
        raise ValueError(f"expected at most 4096 characters, found {len(text)}")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text) or len(text) > NAME_LENGTH:
        raise ValueError(
            "expected a plain name (letters, digits, '.', '_', '-', a letter or digit first, at"
            f" most {NAME_LENGTH}), found {text!r}"
        )
    return text


def _digest(digits: int, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
            raise ValueError(f"expected {what} of {digits} hexadecimal digits, found {text!r}")
        return text

    return AfterValidator(check)


def _repository(text: str) -> str:
    if not re.fullmatch(f"{NAME}(/{NAME})?", text):
        raise ValueError(f"expected owner/name as on the hub, found {text!r}")
    return text


def _path(text: str) -> str:
    _one_line(text)
    if Path(text).is_absolute() and os.path.realpath(text) == os.sep:
        raise ValueError(f"expected a file or folder, found the whole disk, {text!r}")
    if set("{}") & set(text):
        raise ValueError(f"expected a path without braces, found {text!r}")
    return text


def _distinct(items: list[T]) -> list[T]:
    doubles = sorted({str(item) for item in items if items.count(item) > 1})
    if doubles:
        raise ValueError(f"{doubles[0]!r} is in the list twice")
    return items


Text = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, AfterValidator(_name)]
LocalPath = Annotated[str, AfterValidator(_path)]
Repository = Annotated[str, AfterValidator(_repository)]
Commit = Annotated[str, _digest(40, "a commit (a branch can move)")]
Sha256 = Annotated[str, _digest(64, "a SHA-256")]
# more than any recipe or machine has use for: a larger number is a slip, and would be a job without
# end or a range that Python cannot hold
MOST = 10_000_000
Count = Annotated[int, Field(ge=1, le=MOST)]
# of repeats, reasks, epochs, each of which costs a whole round of work
Few = Annotated[int, Field(ge=0, le=1000)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
Dtype = Literal["auto", "bfloat16", "float32"]
Variant = Literal["base", "lora", "merged"]
Distinct = Annotated[list[T], AfterValidator(_distinct)]
