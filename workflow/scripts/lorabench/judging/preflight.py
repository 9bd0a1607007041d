"""Ask a remote judge one tiny question before any expensive work, with the parameters that judging will send."""

import asyncio
from typing import Any

from lorabench.errors import JudgeError
from lorabench.judging.clients import JudgeClient, Unanswered
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings, parse_judge

QUESTION = "Answer with the single letter m."
TOKENS = 16  # enough for any answer, a hundredth of a cent


def ask_judges(sections: list[tuple[str, dict[str, Any]]]) -> None:
    """Ask every remote judge of the named config sections, each once, whether it will judge.

    Args:
        sections: (name of the section, its `judge`); judges that run here are passed over.

    Raises:
        JudgeError: with one line for each judge that will not.
    """
    faults, asked = [], []
    for name, section in sections:
        judge = parse_judge(section)
        if judge.kind == "local" or (name, judge) in asked:
            continue
        asked.append((name, judge))
        try:
            check_judge(judge, log_probabilities=name == "judge_alpaca_eval")
        except JudgeError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise JudgeError("\n".join(faults))


def check_judge(
    settings: JudgeSettings, *, log_probabilities: bool, first_backoff_seconds: float = 1.0
) -> dict[str, Any]:
    """Return what the judge answered as: its own model id, the parameters that it takes and those that it refuses.

    Args:
        log_probabilities: also ask for log-probabilities, as AlpacaEval does.

    Raises:
        JudgeError: wrong key, retired or unknown model, no credit, or no answer; the message says what to do.
    """
    parameters: dict[str, Any] = {"max_tokens": TOKENS, "temperature": settings.temperature}
    if log_probabilities:
        parameters |= {"logprobs": True, "top_logprobs": 5}
    request = JudgeRequest(item="preflight", messages=[{"role": "user", "content": QUESTION}], parameters=parameters)
    reply = asyncio.run(_ask(settings, request, first_backoff_seconds))
    if reply.outcome == "failed":
        raise JudgeError(f"judge {settings.model}: the preflight question failed: {reply.reason}")
    return {
        "model_requested": settings.model,
        "model_returned": reply.model,
        "sent": reply.sent,
        "dropped": list(reply.dropped),
    }


async def _ask(settings: JudgeSettings, request: JudgeRequest, first_backoff_seconds: float) -> Reply:
    async with JudgeClient(settings, first_backoff_seconds) as client:
        try:
            return await client.complete(request)
        except Unanswered as fault:
            raise JudgeError(f"judge {settings.model}: no answer to the preflight question: {fault}") from None
