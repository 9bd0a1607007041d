"""The memory plan: longer rows first, then as many activations as fit, and least where asked."""

import pytest

from lorabench.training.memory_plan import AUTO_ROW_TOKENS, LayerCosts, plan_memory, roomy

COSTS = LayerCosts(layers=32, bytes_a_token=300e3, input_bytes_a_token=8e3)


def plan(
    room: float, memory: str = "auto", shortest: int = 2048, longest: int = 32768
) -> tuple[int, int, bool]:
    """Return (row tokens, recomputed layers, fits)."""
    tokens, recomputed = plan_memory(COSTS, room, memory=memory, shortest=shortest, longest=longest)
    return tokens, recomputed, COSTS.needed(tokens, recomputed) <= room


def test_rows_grow_with_memory_up_to_what_a_step_holds() -> None:
    """With `auto` to 8,192 tokens, with `most` as far as memory goes."""
    assert plan(1e12) == (AUTO_ROW_TOKENS, 0, True)
    assert plan(1e12, "most") == (32768, 0, True)
    assert plan(1e12, longest=5000) == (5000, 0, True)
    tokens, recomputed, fits = plan(50e9)
    assert (recomputed, fits) == (0, True)
    assert 2048 < tokens < 8192 and tokens % 256 == 0
    assert COSTS.needed(tokens, 0) <= 50e9 < COSTS.needed(tokens + 256, 0)


def test_as_few_layers_as_possible_compute_again() -> None:
    """Each layer fewer would not fit."""
    for room in (15e9, 10e9, 5e9):
        tokens, recomputed, fits = plan(room)
        assert tokens == 2048 and fits and 0 < recomputed < 32
        assert COSTS.needed(2048, recomputed) <= room < COSTS.needed(2048, recomputed - 1)
    assert plan(1e8) == (2048, 32, False)


def test_least_memory_is_least_whatever_there_is() -> None:
    """The shortest rows, all layers computed again."""
    assert plan(1e12, "least") == (2048, 32, True)


@pytest.mark.parametrize(("gigabytes", "enough"), [(24, False), (40, False), (80, True)])
def test_llama_3_8b_needs_no_nf4_on_80_gb(gigabytes: float, enough: bool) -> None:
    """16 GB of weights leave room enough on the larger cards only."""
    assert roomy(16.06e9, gigabytes * 1e9) == enough
