"""The change of the held-out loss and its interval."""

from typing import Any

import numpy as np
import pytest

from lorabench.errors import DataError
from lorabench.scoring.held_out import held_out_conversations, loss_change


def conversations(changes: list[float], tokens: list[int]) -> list[dict[str, Any]]:
    """Return one conversation a change (nat a token) and number of tokens."""
    return [
        {
            "id": str(index),
            "label_tokens": size,
            "base_nll_sum": 2.0 * size,
            "adapter_nll_sum": (2.0 + change) * size,
        }
        for index, (change, size) in enumerate(zip(changes, tokens, strict=True))
    ]


def test_the_change_is_weighted_by_tokens() -> None:
    """A conversation of 300 tokens counts three times one of 100."""
    change = loss_change(conversations([-0.1, 0.3], [300, 100]), 0.95)
    assert change.value == pytest.approx(0.0)
    assert change.clusters == 2


def test_equal_changes_keep_a_width_and_five_conversations_have_no_interval() -> None:
    """Without spread the imagined conversations give the width."""
    low, high = loss_change(conversations([-0.1] * 6, [10] * 6), 0.95).interval or (0, 0)
    assert low < -0.1 < high and low < 0 < high
    low, high = loss_change(conversations([-0.1] * 500, [10] * 500), 0.95).interval or (0, 0)
    assert -0.11 < low < -0.1 < high < -0.09
    assert loss_change(conversations([-0.1] * 5, [10] * 5), 0.95).interval is None


def test_the_interval_covers_the_true_change() -> None:
    """Of 200 samples, 84 to 96 % of the 90 % intervals hold it."""
    generator, held = np.random.default_rng(3), 0
    for _ in range(200):
        sizes = generator.lognormal(5, 0.8, 400).astype(int) + 1
        change = conversations(list(generator.normal(-0.05, 0.1, 400)), list(sizes))
        interval = loss_change(change, 0.9).interval
        held += interval is not None and interval[0] <= -0.05 <= interval[1]
    assert 0.84 <= held / 200 <= 0.96


def test_records_without_conversations_have_none() -> None:
    """An older record, an imported adapter, and none at all."""
    older: Any = {"status": "ok", "likelihood": {"validation": {"base": {}, "adapter": {}}}}
    assert held_out_conversations(older) is None
    absent: Any = {"status": "not_run"}
    assert held_out_conversations(absent) is None
    assert held_out_conversations(None) is None
    with pytest.raises(DataError, match="denominators > 0"):
        loss_change(conversations([0.1], [0]), 0.95)
