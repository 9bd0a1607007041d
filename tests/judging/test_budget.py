"""The spending limit and the estimate before it."""

import asyncio
from typing import Any

import pytest

from judging.fake_judge import FakeJudge, judge_settings
from lorabench.errors import JudgeError
from lorabench.judging.availability import judge_available
from lorabench.judging.budget import Budget
from lorabench.judging.exchange import JudgeRequest, Reply

REQUEST = JudgeRequest(
    item="x", messages=[{"role": "user", "content": "a" * 4000}], parameters={"max_tokens": 100}
)
PRICES = {"usd_per_million_input_tokens": 10.0, "usd_per_million_output_tokens": 100.0}


def make_budget(limit: float, spent: float = 0.0) -> Budget:
    """Return a budget; `REQUEST` costs 0.03 at most, 0.02 as estimated."""
    return Budget(judge_settings(FakeJudge(), max_judge_usd=limit, **PRICES), lambda: spent)


def test_estimate_counts_calls_tokens_and_money() -> None:
    """4,000 characters are about 1,000 tokens; a short answer limit bounds the output."""
    estimate = make_budget(1.0).estimate([REQUEST] * 3)
    assert (estimate.calls, estimate.input_tokens, estimate.output_tokens) == (3, 3000, 300)
    assert estimate.usd == pytest.approx(0.06)


def test_start_is_refused_when_the_estimate_exceeds_what_is_left() -> None:
    """What earlier runs spent counts; the message has both figures and the key to change."""
    budget = make_budget(0.1, spent=0.05)
    budget.check(budget.estimate([REQUEST] * 2))
    with pytest.raises(
        JudgeError, match=r"3 calls .* 0\.06 USD on top of 0\.05 USD .*max_judge_usd = 0\.10"
    ):
        budget.check(budget.estimate([REQUEST] * 3))


def test_worst_case_of_each_call_is_reserved() -> None:
    """Three calls at 0.03 fit into 0.1; the fourth waits for one of them."""

    async def run() -> None:
        budget = make_budget(0.1)
        worst = [await budget.reserve(REQUEST) for _ in range(3)]
        fourth = asyncio.create_task(budget.reserve(REQUEST))
        await asyncio.sleep(0.15)
        assert not fourth.done()
        budget.release(worst.pop())
        assert await fourth == pytest.approx(0.03)
        with pytest.raises(JudgeError, match="stopped before exceeding"):
            await make_budget(0.1, spent=0.08).reserve(REQUEST)

    asyncio.run(run())


def test_unreported_tokens_cost_the_worst_case() -> None:
    """A request without usage figures is not free; one that was turned away is."""
    budget = make_budget(1.0)
    answered = Reply(outcome="answered", sent={"max_tokens": 100})
    assert budget.cost(REQUEST, answered) == pytest.approx(0.03)
    assert budget.cost(REQUEST, Reply(outcome="refused")) == 0.0
    reported = Reply(outcome="answered", sent={}, input_tokens=1000, output_tokens=10)
    assert budget.cost(REQUEST, reported) == pytest.approx(0.011)


def test_availability_needs_a_key_or_an_own_server() -> None:
    """A local judge needs nothing; the others name the variable that is missing."""
    openai, key = {"kind": "openai", "model": "m", "base_url": None}, {"OPENAI_API_KEY": "k"}
    cases: list[tuple[dict[str, Any], dict[str, str], str | None]] = [
        ({"kind": "local"}, {}, None),
        (openai, key, None),
        (openai | {"base_url": "http://localhost:8000/v1"}, {}, None),
        (openai, {"OPENAI_API_KEY": " "}, "OPENAI_API_KEY is not set"),
        ({"kind": "anthropic", "model": "m"}, {}, "ANTHROPIC_API_KEY is not set"),
        ({"kind": "none"}, {}, "no judge is configured"),
        (openai | {"model": None}, key, "judge.model is not set"),
    ]
    for judge, environment, words in cases:
        reason = judge_available(judge, environment)
        assert reason is None if words is None else words in (reason or "")
