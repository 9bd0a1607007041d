"""The question to remote judges before expensive work: what is found out, what stops."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import (
    FakeJudge,
    Response,
    anthropic_answer,
    error,
    judge_section,
    openai_answer,
)
from judging.test_refused_parameters import REFUSALS
from lorabench.control.judge_preflight import PATIENCE, ask_judges, check_judges
from lorabench.errors import JudgeError
from lorabench.judging.store import AnswerStore

NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


def section(
    fake: FakeJudge, benchmark: str = "mt_bench", **changes: Any
) -> tuple[str, dict[str, Any]]:
    """Return a judging section with its name."""
    return f"judge_{benchmark}", {"judge": judge_section(fake, **changes), "max_tokens": 64}


def test_a_judge_that_answers_is_described(judge_server: FakeJudge) -> None:
    """The line has the model id that came back."""
    assert check_judges([section(judge_server)], run="run", local=True) == [
        "judge_mt_bench: judge judge answers as judge-2026-01-01"
    ]


def test_refused_parameters_are_told(judge_server: FakeJudge) -> None:
    """What judging would have to leave out is known before it starts."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        return next(
            (answer for name, answer in REFUSALS.items() if name in body), openai_answer("m")
        )

    judge_server.respond = respond
    (line,) = check_judges([section(judge_server, "alpaca_eval")], run="run", local=True)
    assert "refuses max_tokens, temperature, gives no log-probabilities (preferences will" in line


def test_equal_judges_are_asked_once_and_local_ones_never(judge_server: FakeJudge) -> None:
    """Runs of a sweep share their judge; the two benchmarks send different parameters."""
    asked = [section(judge_server), section(judge_server), section(judge_server, "alpaca_eval")]
    asked.append(section(judge_server, kind="local"))
    assert len(check_judges(asked, run="run", local=True)) == len(judge_server.requests) == 2


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (error(404, "The model `judge` has been deprecated"), "retired or misspelt"),
        (error(401, "Incorrect API key"), "check the key in OPENAI_API_KEY"),
        (error(429, "quota exceeded", code="insufficient_quota"), "no credit left"),
        (error(400, "no system role"), "turns the question before the run down: HTTP 400: no sys"),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_a_judge_that_will_not_judge_always_stops(
    judge_server: FakeJudge, response: Response, words: str, local: bool
) -> None:
    """One request each and one line each with the reason, on one machine as on a cluster."""
    judge_server.respond = lambda number, body: response
    asked = [section(judge_server), section(judge_server, "alpaca_eval")]
    with pytest.raises(JudgeError, match=words) as caught:
        check_judges(asked, run="run", local=local)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["judge_mt_bench", "judge_alpaca_eval"]
    assert len(judge_server.requests) == 2


def test_a_silent_judge_stops_a_local_run(judge_server: FakeJudge) -> None:
    """Nobody listens: three tries, one line with the address and the reason."""
    with pytest.raises(
        JudgeError, match=r"^judge_mt_bench: judge judge at http://127\.0\.0\.1:9/v1\S+ gives no"
    ):
        check_judges([section(judge_server, base_url=NOWHERE)], run="run", local=True)


def test_a_silent_judge_is_a_warning_on_a_cluster(judge_server: FakeJudge) -> None:
    """The head node may have no way out where its jobs have one."""
    asked = [section(judge_server, base_url=NOWHERE), section(judge_server)]
    silent, answering = check_judges(asked, run="run", local=False)
    assert silent.startswith("warning: judge_mt_bench:")
    assert silent.endswith("; the jobs will try again") and "answers as" in answering


def test_an_overloaded_judge_is_tried_a_few_times(judge_server: FakeJudge) -> None:
    """A server that is down is no reason to wait for minutes, nor one that asks for them."""
    judge_server.respond = lambda number, body: error(503, "overloaded")
    (state,) = ask_judges([section(judge_server)], "run")
    assert state.usable is None and "HTTP 503: overloaded" in state.text
    assert len(judge_server.requests) == PATIENCE.tries == 3
    limited = error(429, "slow down")
    limited.headers["Retry-After"] = "60"
    judge_server.respond = lambda number, body: limited
    (state,) = ask_judges([section(judge_server)], "run")
    assert state.usable is None and "slow down" in state.text
    assert len(judge_server.requests) == 4


@pytest.mark.parametrize(
    ("kind", "answer"), [("openai", openai_answer), ("anthropic", anthropic_answer)]
)
def test_the_question_is_in_the_runs_books(
    judge_server: FakeJudge, tmp_path: Path, kind: str, answer: Callable[[], Response]
) -> None:
    """What the question costs counts towards the limit of its own run only.

    The cost is what the judge bills, and what an answer that cannot be read may have cost.
    """
    judge_server.respond = lambda number, body: answer() if number else Response(document=b"<html>")
    ask_judges([section(judge_server, kind=kind)], "run")
    assert len(judge_server.requests) == 2 and judge_server.billed == [(100, 10)]
    with AnswerStore(tmp_path / "judgments", "run/mt_bench-base") as store:
        assert 100 * 2e-6 + 10 * 8e-6 < store.spent_usd() < 0.002
        assert store.lost_requests == 0
    with AnswerStore(tmp_path / "judgments", "other/mt_bench-base") as store:
        assert store.spent_usd() == 0
