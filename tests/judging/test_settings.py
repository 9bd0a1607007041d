"""The values of a judge's settings: numbers are numbers, and who counts."""

from typing import Any

import pytest

from judging.fake_judge import FakeJudge, judge_section
from lorabench.errors import ConfigurationError
from lorabench.judging.settings import parse_judge

PRICES = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
NUMBERS = ("timeout_seconds", "max_judge_usd", *PRICES)
JUDGE = judge_section(FakeJudge(url="http://localhost/v1"))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "25", None, True])
def test_a_limit_that_limits_nothing_is_refused(name: str, value: Any) -> None:
    """Not-a-number compares with nothing, so that no limit would ever be reached."""
    with pytest.raises(ConfigurationError, match=rf"judge\.{name}"):
        parse_judge(JUDGE | {name: value})


@pytest.mark.parametrize(
    ("kind", "word", "signal"),
    [
        ("openai", "auto", True),
        ("local", "auto", False),
        ("local", True, True),
        ("anthropic", False, False),
    ],
)
def test_who_carries_a_signal(kind: str, word: Any, signal: bool) -> None:
    """The user's word counts; without one a remote judge does and a local one does not."""
    assert parse_judge(JUDGE | {"kind": kind, "carries_signal": word}).signal is signal


def test_another_word_is_refused() -> None:
    """A misspelt word is no yes."""
    with pytest.raises(ConfigurationError, match="carries_signal"):
        parse_judge(JUDGE | {"carries_signal": "yes"})
