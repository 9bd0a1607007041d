"""Settings and prompts: what is wrong is named."""

from pathlib import Path
from typing import Any

import pytest

from lorabench.errors import ConfigurationError, DataError
from lorabench.inference.settings import parse_settings, read_prompts

SECTION: dict[str, Any] = {
    "variants": ["base"],
    "dtype": "auto",
    "prompts": 2,
    "new_tokens": 8,
    "repeats": 2,
    "warmup": 1,
}


def test_unknown_missing_and_small_values_are_refused() -> None:
    """Each fault names its key."""
    assert parse_settings(SECTION).new_tokens == 8
    with pytest.raises(ConfigurationError, match="'repeat'"):
        parse_settings(SECTION | {"repeat": 3})
    with pytest.raises(ConfigurationError, match="'warmup'"):
        parse_settings({key: value for key, value in SECTION.items() if key != "warmup"})
    with pytest.raises(
        ConfigurationError, match=r"measure_inference\.new_tokens: expected at least 2, found 1"
    ):
        parse_settings(SECTION | {"new_tokens": 1})


def test_first_prompts_of_the_samples_cover_all_categories(samples: Path) -> None:
    """Five prompts are one of each category, so that a short run keeps the breakdown."""
    prompts = read_prompts(samples / "performance_prompts.jsonl", 20)
    assert len({prompt.id for prompt in prompts}) == 20
    assert (
        len({prompt.category for prompt in prompts[:5]})
        == len({prompt.category for prompt in prompts})
        == 5
    )


def test_wrong_prompt_files_are_refused(tmp_path: Path) -> None:
    """A missing field names file, line and field; too few prompts name both counts."""
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"id": "a", "category": "x", "prompt": "Hello"}\n{"id": "b", "category": "x"}\n',
        encoding="utf-8",
    )
    with pytest.raises(DataError, match=r"prompts\.jsonl:2: field 'prompt'"):
        read_prompts(file, 1)
    file.write_text('{"id": "a", "category": "x", "prompt": "Hello"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="2 prompts wanted"):
        read_prompts(file, 2)
