"""Bandwidth, a GPU's waiting, and the closed loop of load."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lorabench.chat import encode_chat
from lorabench.inference.bounds import copy_bandwidth, gpu_idle_share
from lorabench.inference.decoder import Decoder
from lorabench.inference.load import lacking_memory, serve
from lorabench.llama import load_tokenizer
from lorabench.scoring.serving_cost import is_launch_bound, usd_per_million
from lorabench.variants import load_variant


def test_a_copy_has_a_speed() -> None:
    """This machine copies at least a few hundred megabytes a second."""
    assert copy_bandwidth(torch.device("cpu")) > 3e8


@pytest.mark.parametrize(
    ("captured", "idle", "bound"),
    [(True, 0.5, False), (False, 0.5, True), (False, 0.1, False), (False, None, True)],
)
def test_launch_bound_is_what_waits_for_python(
    captured: bool, idle: float | None, bound: bool
) -> None:
    """A replayed step is not bound by launches; one whose waiting is not known counts as bound."""
    assert is_launch_bound({"captured": captured, "gpu_idle_share": idle}) is bound


def test_price_of_a_million_tokens() -> None:
    """At 1,000 tokens/s and 3.60 dollars an hour, a million tokens take 1,000 s: 1 dollar."""
    assert usd_per_million(1000, 3.6) == pytest.approx(1.0)
    assert usd_per_million(1000, None) is None
    assert usd_per_million(None, 3.6) is None


def test_users_send_when_they_are_answered(tiny_model: Path) -> None:
    """Five requests on two slots have the tokens that one user gets."""
    model = load_variant("base", base=tiny_model, adapter=None, merged=None, dtype="float32")
    tokenizer = load_tokenizer(tiny_model)
    prompts = [
        encode_chat(tokenizer, [{"role": "user", "content": text}]) for text in ("One", "Two twice")
    ]
    together, alone = (
        serve(Decoder(model, slots=slots, capacity=200, suppressed=[]), prompts, 5, 4)
        for slots in (2, 1)
    )
    assert [one.number for one in together] == [0, 1, 2, 3, 4]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert all(len(one.tokens) == 4 for one in together)
    assert all(0 < one.time_to_first_token_ms < one.end_to_end_ms for one in together)
    ends = sorted(one.sent_ms + one.end_to_end_ms for one in together)
    assert together[2].sent_ms >= ends[0]
    for before, after in pairwise(alone):
        assert after.sent_ms >= before.sent_ms + before.end_to_end_ms
    assert gpu_idle_share(Decoder(model, slots=1, capacity=9, suppressed=[]), [1]) is None


def test_a_level_that_memory_does_not_hold_is_named() -> None:
    """The reason has what it takes and what there is."""
    assert lacking_memory(1, 100, 1) is None
    reason = lacking_memory(10**9, 10**6, 10)
    assert reason is not None and reason.startswith("keys and values take 12000000.0 GB")
