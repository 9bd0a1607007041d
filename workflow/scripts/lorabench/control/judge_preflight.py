"""Ask remote judges one tiny question each before any expensive work.

It has the parameters that judging will send; what the answers cost is in the run's books.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.errors import JudgeError
from lorabench.judging import alpaca_eval, mt_bench
from lorabench.judging.budget import Budget
from lorabench.judging.clients import JudgeClient, Patience, Unanswered
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings, parse_judge
from lorabench.judging.store import AnswerStore

# both roles that judging uses; the answer is a hundredth of a cent
QUESTION = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Answer with the single letter m."},
]
PATIENCE = Patience(tries=3, longest_retry_after_seconds=5.0)
LONGEST_TRY_SECONDS = 15.0
PARAMETERS = {
    "judge_mt_bench": mt_bench.request_parameters,
    "judge_alpaca_eval": alpaca_eval.request_parameters,
}
# where the judging jobs keep answers, a folder for each run
STORE = Path("resources/judgments")
# who was asked what, and what it may have cost
Payments = list[tuple[JudgeSettings, JudgeRequest, float]]


@dataclass(frozen=True, kw_only=True)
class JudgeState:
    """What came of the question to one judge."""

    # None = nobody answered, so that it is not known
    usable: bool | None
    # one line that begins with the config section
    text: str


def check_judges(
    sections: Iterable[tuple[str, Mapping[str, Any]]], *, run: str, local: bool
) -> list[str]:
    """Ask the remote judges of the sections (see `ask_judges`); return a line on each.

    Args:
        sections: name and content of judging sections.
        run: that pays for the questions.
        local: jobs run on this machine. Jobs of a cluster may reach a judge that its head node does
            not.

    Raises:
        JudgeError: with one line for each judge that cannot judge, or that nobody can reach from
            where the jobs run.
    """
    states = ask_judges(sections, run)
    stopping = (False, None) if local else (False,)
    if faults := [state.text for state in states if state.usable in stopping]:
        raise JudgeError("\n".join(faults))
    return [
        state.text if state.usable else f"warning: {state.text}; the jobs will try again"
        for state in states
    ]


def ask_judges(sections: Iterable[tuple[str, Mapping[str, Any]]], run: str) -> list[JudgeState]:
    """Ask every remote judge of the sections whether it will judge, all at once; `run` pays."""
    questions: list[tuple[str, JudgeSettings, dict[str, Any]]] = []
    for name, section in sections:
        judge = parse_judge(section["judge"])
        question = (name, judge, PARAMETERS[name](judge, section["max_tokens"]))
        if judge.kind != "local" and question not in questions:
            questions.append(question)
    paid: Payments = []
    states = asyncio.run(_ask_all(questions, paid))
    if any(usd for *_, usd in paid):
        with AnswerStore(STORE, f"{run}/before_the_run") as store:
            for judge, request, usd in paid:
                store.put_lost(judge.identity, request, usd, "asked before the run")
    return states


async def _ask_all(
    questions: list[tuple[str, JudgeSettings, dict[str, Any]]], paid: Payments
) -> list[JudgeState]:
    return await asyncio.gather(*(_ask(*question, paid) for question in questions))


async def _ask(
    name: str, judge: JudgeSettings, parameters: dict[str, Any], paid: Payments
) -> JudgeState:
    patience = min(judge.timeout_seconds, LONGEST_TRY_SECONDS)
    hurried = judge.model_copy(update={"timeout_seconds": patience})
    request = JudgeRequest(item=name, messages=QUESTION, parameters=parameters)
    budget = Budget(judge, lambda: 0.0)

    def book_lost(request: JudgeRequest, reason: str) -> None:
        paid.append((judge, request, budget.worst_case(request)))

    async with JudgeClient(hurried, PATIENCE, lost=book_lost) as client:
        try:
            reply = await client.complete(request)
            paid.append((judge, request, budget.cost(request, reply)))
        except Unanswered as fault:
            text = f"{name}: judge {judge.model} at {client.url} gives no answer ({fault})"
            return JudgeState(usable=None, text=f"{text}: check judge.base_url and the network")
        except JudgeError as error:
            return JudgeState(usable=False, text=f"{name}: {error}")
    if reply.outcome == "failed":
        words = f"turns the question before the run down: {reply.reason}"
    else:
        words = _describe(reply, parameters)
    usable = reply.outcome != "failed"
    return JudgeState(usable=usable, text=f"{name}: judge {judge.model} {words}")


def _describe(reply: Reply, parameters: Mapping[str, Any]) -> str:
    """Return what the answer says about later judgments."""
    text = f"answers as {reply.model or 'a model without a name'}"
    if refused := [name for name in reply.dropped if name not in ("logprobs", "top_logprobs")]:
        text += f", refuses {', '.join(refused)}"
    if "logprobs" in parameters and reply.log_probabilities is None:
        text += ", gives no log-probabilities (preferences will be 0 or 1)"
    return text
