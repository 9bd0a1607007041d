"""Sampled tokens follow the distribution and depend on nothing but seed and name."""

import torch
from transformers import GenerationConfig

from lorabench.evaluation.sampling import SeededSampler


def draws(seed: int, name: str, count: int, **limits: float) -> list[int]:
    """Return draws from fixed logits over four tokens."""
    sampler = SeededSampler(0.5, GenerationConfig(**limits), seed, name)
    logits = 0.5 * torch.log(torch.tensor([0.1, 0.6, 0.0625, 0.2375]))
    return [sampler(logits) for _ in range(count)]


def test_tokens_come_with_their_probabilities() -> None:
    """Over many draws each token's share is its probability at the temperature."""
    seen = draws(0, "a", 4000)
    for token, probability in enumerate([0.1, 0.6, 0.0625, 0.2375]):
        assert abs(seen.count(token) / 4000 - probability) < 0.03


def test_seed_and_name_decide_the_stream() -> None:
    """The same seed and name repeat the draws, another name or seed changes them."""
    assert draws(0, "a", 50) == draws(0, "a", 50)
    assert draws(0, "a", 50) != draws(0, "b", 50)
    assert draws(0, "a", 50) != draws(1, "a", 50)


def test_limits_of_the_checkpoint_hold() -> None:
    """top_k 2 leaves the two likeliest tokens, top_p 0.5 the one that reaches a half."""
    assert set(draws(0, "a", 500, top_k=2)) == {1, 3}
    assert set(draws(0, "a", 200, top_p=0.5)) == {1}
