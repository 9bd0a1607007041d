"""The change of the held-out loss and its interval."""

from typing import Any

import numpy as np
import pytest

from lorabench.documents.train_metrics import ConversationLikelihood
from lorabench.errors import DataError
from lorabench.scoring.held_out import held_out_conversations, loss_change


def conversations(changes: list[float], tokens: list[int]) -> list[ConversationLikelihood]:
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
    """Without spread the unseen conversation gives the width, more to the side of the losses."""
    low, high = loss_change(conversations([-0.1] * 6, [10] * 6), 0.95).interval or (0, 0)
    assert low < 0 < high
    low, high = loss_change(conversations([-0.1] * 500, [10] * 500), 0.95).interval or (0, 0)
    assert -0.12 < low < -0.1 < high < -0.05
    assert loss_change(conversations([-0.1] * 5, [10] * 5), 0.95).interval is None


def wrong_passes(losing: float, by: float) -> float:
    """Return the share of 200 samples of 500 conversations that show a fall where there is none:
    the share `losing` of the conversations loses `by` nat a token, the others gain that much."""
    generator, passed = np.random.default_rng(3), 0
    for _ in range(200):
        sizes = generator.lognormal(5, 0.8, 500).astype(int) + 1
        change = by * ((generator.random(500) < losing) - losing)
        interval = loss_change(conversations(list(change), list(sizes)), 0.9).interval
        passed += interval is not None and interval[1] < 0
    return passed / 200


@pytest.mark.slow
@pytest.mark.parametrize(("losing", "by"), [(0.005, 2), (0.01, 2), (0.01, 5), (0.02, 1), (0.1, 1)])
def test_rare_large_losses_seldom_pass(losing: float, by: float) -> None:
    """At most 5 % wrong passes and three standard errors of the simulation."""
    assert wrong_passes(losing, by) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_records_without_conversations_have_none() -> None:
    """An older record, an imported adapter, and none at all."""
    older: Any = {"status": "ok", "likelihood": {"validation": {"base": {}, "adapter": {}}}}
    assert held_out_conversations(older) is None
    absent: Any = {"status": "not_run"}
    assert held_out_conversations(absent) is None
    assert held_out_conversations(None) is None
    with pytest.raises(DataError, match="denominators > 0"):
        loss_change(conversations([0.1], [0]), 0.95)
