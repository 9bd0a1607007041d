"""Numbers in words."""

import pytest

from lorabench.description.licences import LLAMA_3, find_licence
from lorabench.report import wording
from lorabench.report.ai_act import ai_act_text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0412, "share", "+4.1 pp"),
        (-0.0412, "share", "−4.1 pp"),  # noqa: RUF001
        (-0.0001, "share", "0.0 pp"),
        (0.35, "rating 1-10", "+0.35 points"),
    ],
)
def test_differences_carry_sign_and_unit(value: float, unit: str, text: str) -> None:
    """Shares differ in percentage points; what rounds to nothing has no sign."""
    assert wording.difference_text(value, unit) == text


def test_intervals_and_sizes_stand_in_the_unit_of_the_score() -> None:
    """A share's interval is in percent, a rating's in points; no interval is said so."""
    assert wording.interval_text([-0.0004, 0.271], "share") == "[0.0, 27.1]"
    assert wording.interval_text([7.15, 8.37], "rating 1-10") == "[7.15, 8.37]"
    assert wording.interval_text(None, "share") == "no interval"
    assert wording.bytes_text(1_430_000_000) == "1.43 GB"
    assert wording.bytes_text(83_000_000) == "83 MB"


@pytest.mark.parametrize(
    ("p", "text"), [(None, "\N{EN DASH}"), (0.0004, "< 0.001"), (0.0421, "0.042"), (1.0, "1")]
)
def test_p_values_have_two_digits(p: float | None, text: str) -> None:
    """Small ones are bounded, missing ones are a dash."""
    assert wording.p_text(p) == text


@pytest.mark.parametrize("name", ["llama3", "Meta Llama 3 Community License", "meta-llama-3"])
def test_llama_3_is_recognised_under_its_names(name: str) -> None:
    """The hub's tag and the licence's title mean the same licence; 3.1 has another one."""
    assert find_licence(name) is LLAMA_3
    later = find_licence("llama3.1")
    assert later is not None and later.name == "Llama 3.1 Community License"
    assert find_licence("llama2") is None


def test_the_ai_acts_third_is_named_where_the_original_is_known() -> None:
    """The default run is about two millionths of a third of Llama 3 8B's training."""
    text = ai_act_text("Meta-Llama-3-8B-Instruct", 5e17)
    assert "5.0e+17" in text and "2e-06 of the third" in text
    assert "not known here" in ai_act_text("SmolLM2", 5e17)
