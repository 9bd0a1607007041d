"""Ask a judge again where its answer is not clear; what stays unclear is no verdict."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lorabench.judging.exchange import Judge, JudgeRequest, Reply


@dataclass(frozen=True)
class Asked:
    """What came of a list of requests."""

    # the last answer to each request, in their order
    replies: list[Reply]
    # how often each was asked
    tries: list[int]
    # every answer, the unclear ones included
    everything: list[Reply]


def ask_until_clear(
    judge: Judge,
    requests: list[JudgeRequest],
    is_clear: Callable[[Reply], bool],
    reasks: int,
    instruction: str,
) -> Asked:
    """Ask each request, and those with an unclear answer again up to `reasks` times.

    A refusal or failure is not asked again, nor is a local judge, whose answer would be the same.
    """
    replies = judge.ask(requests)
    asked = Asked(replies, [1] * len(requests), list(replies))
    current = list(requests)
    for _ in range(reasks if judge.kind != "local" else 0):
        unclear = [
            n
            for n, reply in enumerate(replies)
            if reply.outcome == "answered" and not is_clear(reply)
        ]
        if not unclear:
            break
        for n in unclear:
            current[n] = ask_again(current[n], replies[n], instruction)
            asked.tries[n] += 1
        answers = judge.ask([current[n] for n in unclear])
        asked.everything.extend(answers)
        for n, reply in zip(unclear, answers, strict=True):
            replies[n] = reply
    return asked


def ask_again(request: JudgeRequest, reply: Reply, instruction: str) -> JudgeRequest:
    """Return the follow-up to an unclear answer; an empty one is simply asked for again."""
    said = {"role": "assistant", "content": reply.text}
    more = [said, {"role": "user", "content": instruction}] if reply.text.strip() else []
    return replace(request, messages=[*request.messages, *more], attempt=request.attempt + 1)
