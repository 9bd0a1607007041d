"""Settings and prompts: what is wrong is named."""

from pathlib import Path

import pytest

from lorabench.errors import ConfigurationError, DataError
from lorabench.inference.settings import parse_settings, read_prompts
from sections import measure_section

SECTION = measure_section()


def test_unknown_missing_and_small_values_are_refused() -> None:
    """Each fault names its key."""
    assert parse_settings(SECTION).new_tokens == SECTION["new_tokens"]
    with pytest.raises(ConfigurationError, match=r"measure_inference\.repeat"):
        parse_settings(SECTION | {"repeat": 3})
    with pytest.raises(ConfigurationError, match=r"measure_inference\.warmup: Field required"):
        parse_settings({key: value for key, value in SECTION.items() if key != "warmup"})
    with pytest.raises(
        ConfigurationError, match=r"measure_inference\.new_tokens: Input should be greater"
    ):
        parse_settings(SECTION | {"new_tokens": 1})
    with pytest.raises(
        ConfigurationError,
        match=r"measure_inference\.load\.concurrency\.1: Input should be greater",
    ):
        parse_settings(SECTION | {"load": SECTION["load"] | {"concurrency": [1, 0]}})


def test_addresses_of_servers_are_checked() -> None:
    """An address holds no password and is one of HTTP; variants without one are not measured."""
    assert parse_settings(SECTION).servers == {}
    for address, fault in (
        ("http://me:secret@host/v1", "must not hold a user name or password"),
        ("host:8000/v1", "expected an address such as"),
    ):
        server = SECTION["server"] | {"lora": {"base_url": address, "model": "m"}}
        with pytest.raises(
            ConfigurationError, match=r"measure_inference\.server\.lora\.base_url: .*" + fault
        ) as error:
            parse_settings(SECTION | {"server": server})
        assert "secret" not in str(error.value)


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
