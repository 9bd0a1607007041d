"""The protocol file next to judgments: who judged what and how, what it cost, what failed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from lorabench.documents.item_result import ItemResult
from lorabench.documents.judging_protocol import JudgingProtocol
from lorabench.errors import JudgeError
from lorabench.judging.exchange import Judge, Reply
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.store import AnswerStore


def describe_judging(
    *,
    benchmark: str,
    judge: Judge,
    settings: JudgeSettings,
    store: AnswerStore,
    rows: Sequence[ItemResult],
    replies: Sequence[Reply],
    prompt_sha256: dict[str, str],
    details: dict[str, Any],
    wall_seconds: float,
) -> JudgingProtocol:
    """Return the protocol document: facts, from which scoring makes the sentence next to the score.

    Args:
        store: where the answers are kept, closed or open.
        details: the benchmark's own settings, counts and input hashes.
    """
    local = judge.kind == "local"
    new = [reply for reply in replies if not reply.cached]
    failed = Counter(row.outcome for row in rows if row.score is None)
    made: JudgingProtocol = {
        "schema_version": 2,
        "benchmark": benchmark,
        "signal": settings.signal,
        "judge": {
            "kind": judge.kind,
            "model": judge.model,
            "base_url": None if local else settings.base_url,
            "temperature": None if local else settings.temperature,
        },
        "models_returned": sorted({reply.model for reply in replies if reply.model}),
        "parameters_sent": _parameters(replies),
        "parameters_dropped": sorted({name for reply in replies for name in reply.dropped}),
        "prompt_sha256": prompt_sha256,
        "items": len(rows),
        "judged": sum(row.score is not None for row in rows),
        "failures": dict(sorted(failed.items())),
        "answers": len(replies),
        "calls": len(new),
        "cached_calls": len(replies) - len(new),
        "input_tokens": sum(reply.input_tokens or 0 for reply in replies),
        "output_tokens": sum(reply.output_tokens or 0 for reply in replies),
        "tokens_not_reported": sum(
            reply.input_tokens is None for reply in replies if reply.outcome != "failed"
        ),
        "usd": round(sum(reply.usd for reply in replies), 6),
        "usd_of_other_runs": round(sum(reply.usd for reply in replies if reply.other_run), 6),
        "usd_this_run": round(sum(reply.usd for reply in new), 6),
        "lost_requests": store.lost_requests,
        "lost_usd_at_most": round(store.lost_usd, 6),
        "estimated_usd_this_run": round(judge.estimated_usd, 6),
        "wall_seconds": round(wall_seconds, 3),
    }
    return cast(JudgingProtocol, {**made, **details})


def check_share(rows: Sequence[ItemResult], settings: JudgeSettings, least: float) -> None:
    """End the job where a remote judge left too many items without an answer for a score.

    An answer that cannot be read, and a refusal, are answers: nothing is gained by asking again.

    Args:
        least: the share of the items that a score needs.

    Raises:
        JudgeError: too many items have no answer.
    """
    failed = [row for row in rows if row.outcome == "judge_failed"]
    if settings.kind == "local" or len(rows) - len(failed) >= least * len(rows):
        return
    reasons = Counter(_reason(row) for row in failed)
    raise JudgeError(
        f"judge {settings.model}: {len(failed)} of {len(rows)} items got no judgment (most often:"
        f" {reasons.most_common(1)[0][0]}); a score needs {least:.0%} of them"
        " (score_benchmark.min_judged_share). Answers so far are kept: run the same command again"
        " to ask only the others"
    )


def _reason(row: ItemResult) -> str:
    """Return the first reason that a row without a judgment has."""
    parts = [row.detail, *row.detail.get("orders", [])]
    return next((str(part["reason"]) for part in parts if part.get("reason")), "no reason given")


def _parameters(replies: Sequence[Reply]) -> list[dict[str, Any]]:
    """Return each distinct set of parameters that reached the judge."""
    distinct: list[dict[str, Any]] = []
    for reply in replies:
        if reply.sent is not None and reply.sent not in distinct:
            distinct.append(reply.sent)
    return distinct
