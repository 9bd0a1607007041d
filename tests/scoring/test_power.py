"""What the plan promises, held against the report's own intervals and the gate's own lines."""

from pathlib import Path

import numpy as np
import pytest

from lorabench.control.configuration import load
from lorabench.documents.train_metrics import ConversationLikelihood
from lorabench.scoring.gate import rules_of
from lorabench.scoring.gate_quality import judge_interval
from lorabench.scoring.held_out import loss_change
from lorabench.scoring.power import LOSS_SPREAD, RATING_SPREAD, power_of
from lorabench.scoring.settings import HELD_OUT, GateSettings
from lorabench.scoring.significance import (
    FlipTable,
    paired_difference,
    paired_proportion_difference,
)
from lorabench.uncertainty import Interval

CONFIG = Path(__file__).resolve().parents[2] / "config" / "config.yaml"
# demo and full size
SIZES = {
    "gsm8k": (16, 1319),
    "mmlu": (60, 14042),
    "mt_bench": (8, 80),
    "alpaca_eval": (16, 805),
    HELD_OUT: (13, 518),
}
CASES = [(name, n) for name, sizes in SIZES.items() for n in sizes]
REPEATS = 400
# three standard errors of 400 repeats, and what a simulated plan may be off
SLACK = 3 * (0.8 * 0.2 / REPEATS) ** 0.5 + 0.03


def drawn_interval(
    name: str, n: int, gain: float, confidence: float, draw: np.random.Generator
) -> Interval:
    """Return the report's interval of a gain in one sample of what the plan assumes."""
    if name == HELD_OUT:
        sizes = draw.lognormal(5, 0.8, n)
        rows: list[ConversationLikelihood] = [
            {
                "id": "",
                "label_tokens": size,
                "base_nll_sum": 0.0,
                "adapter_nll_sum": size * by,
            }
            for size, by in zip(sizes, draw.normal(-gain, LOSS_SPREAD, n), strict=True)
        ]
        low, high = loss_change(rows, confidence).interval or (-9.0, 9.0)
        return -high, -low
    if name in ("gsm8k", "mmlu"):
        flips = max({"gsm8k": 0.12, "mmlu": 0.1}[name], gain)
        lost, gained, same = draw.multinomial(
            n, [(flips - gain) / 2, (flips + gain) / 2, 1 - flips]
        ).tolist()
        table = FlipTable(both_right=same, only_reference=lost, only_variant=gained, both_wrong=0)
        found = paired_proportion_difference(table, confidence)
    elif name == "alpaca_eval":
        won = draw.random(n) < 0.5 + gain
        found = paired_difference([0.5] * n, won.astype(float).tolist(), 1.0, None, confidence)
    else:
        changes = np.repeat(draw.normal(gain, RATING_SPREAD, n), 2)
        questions = np.repeat(np.arange(n), 2).tolist()
        found = paired_difference([5.0] * 2 * n, (5 + changes).tolist(), 3.0, questions, confidence)
    return found.interval or (-9.0, 9.0)


def share_above(
    name: str, n: int, gain: float, threshold: float, confidence: float, seed: int
) -> float:
    """Return how often the interval is wholly above the threshold."""
    draw = np.random.default_rng([seed, n])
    found = (drawn_interval(name, n, gain, confidence, draw) for _ in range(REPEATS))
    return sum(judge_interval(each, threshold) == "pass" for each in found) / REPEATS


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), CASES)
def test_the_difference_of_the_plan_is_found_in_four_of_five_samples(name: str, n: int) -> None:
    """80 % power of the report's own 95 % interval, at the demo's and the full size."""
    found = power_of(name, n, None, 0.05).smallest_detectable
    assert found is not None
    assert share_above(name, n, found, 0.0, 0.95, 11) == pytest.approx(0.8, abs=SLACK)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gsm8k", "mmlu", "mt_bench", "alpaca_eval"])
def test_an_equal_adapter_passes_as_often_as_the_plan_says(name: str) -> None:
    """At full size, by the gate's 90 % interval and the margins of the config."""
    section = load([CONFIG])["gate"]
    rule = rules_of(GateSettings.parse_section(section, "gate"))[name]
    n = SIZES[name][1]
    chance = power_of(name, n, rule.threshold, 0.05).chance_of_equal
    assert share_above(name, n, 0.0, rule.threshold, 0.9, 12) == pytest.approx(chance, abs=SLACK)
    assert chance is not None and chance > 0.85


def test_few_units_show_nothing() -> None:
    """Below six units there is no test, below ten no verdict of the gate."""
    found = power_of("mt_bench", 5, -0.35, 0.05)
    assert found.smallest_detectable is None and found.chance_of_equal == 0
    assert power_of("gsm8k", 9, -0.9, 0.05).chance_of_equal == 0


def test_units_for_a_margin_give_four_in_five() -> None:
    """With the number that the plan names, an equal adapter passes in about 80 % of cases."""
    needed = power_of("gsm8k", 100, -0.03, 0.05).units_for_margin
    assert needed is not None
    assert power_of("gsm8k", needed, -0.03, 0.05).chance_of_equal == pytest.approx(0.8, abs=0.02)


def test_a_gain_that_the_gate_asks_for_is_smaller_than_what_the_report_finds() -> None:
    """The gate's test is one-sided."""
    found = power_of(HELD_OUT, 200, 0.0, 0.05)
    assert found.passing_gain is not None and found.smallest_detectable is not None
    assert 0 < found.passing_gain < found.smallest_detectable
    assert found.chance_of_equal is None
