"""The protocol file beside judgments: who judged what and how, what it cost, what failed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.judging.exchange import Judge, Reply
from lorabench.judging.settings import JudgeSettings

LOCAL_SENTENCE = (
    "local scoring judge, read from token probabilities: exercises the path and compares variants"
    " of one run only, carries no signal about quality"
)
OTHER_JUDGE = "not comparable with scores from another judge"


def describe_judging(
    *,
    benchmark: str,
    method: str,
    judge: Judge,
    settings: JudgeSettings,
    rows: Sequence[ItemResult],
    replies: Sequence[Reply],
    prompt_sha256: dict[str, str],
    details: dict[str, Any],
    wall_seconds: float,
) -> dict[str, Any]:
    """Return the protocol document; `protocol` is the sentence that stands beside the score.

    Args:
        method: what was asked, without the judge, e.g. "MT-Bench single-answer grading of 80
            questions".
        details: the benchmark's own settings and input hashes.
    """
    local = judge.kind == "local"
    new = [reply for reply in replies if not reply.cached]
    note = LOCAL_SENTENCE if local else OTHER_JUDGE
    dropped = sorted({name for reply in replies for name in reply.dropped})
    default = settings.temperature is None or "temperature" in dropped
    how = (
        ""
        if local
        else (
            ", provider's default sampling"
            if default
            else f", temperature {settings.temperature:g}"
        )
    )
    return {
        "schema_version": 1,
        "benchmark": benchmark,
        "protocol": f"{method}; judge {judge.model} ({judge.kind}{how}); {note}",
        "signal": not local,
        "signal_note": note,
        "judge": {
            "kind": judge.kind,
            "model": judge.model,
            "base_url": None if local else settings.base_url,
        },
        "models_returned": sorted({reply.model for reply in replies if reply.model}),
        "parameters_sent": _parameters(replies),
        "parameters_dropped": dropped,
        "prompt_sha256": prompt_sha256,
        "items": len(rows),
        "failures": dict(sorted(Counter(row.outcome for row in rows if row.score is None).items())),
        "answers": len(replies),
        "calls": len(new),
        "cached_calls": len(replies) - len(new),
        "input_tokens": sum(reply.input_tokens or 0 for reply in replies),
        "output_tokens": sum(reply.output_tokens or 0 for reply in replies),
        "tokens_not_reported": sum(
            reply.input_tokens is None and reply.outcome != "failed" for reply in replies
        ),
        "usd": round(sum(reply.usd for reply in replies), 6),
        "usd_this_run": round(sum(reply.usd for reply in new), 6),
        "estimated_usd_this_run": round(judge.estimated_usd, 6),
        "wall_seconds": round(wall_seconds, 3),
        **details,
    }


def _parameters(replies: Sequence[Reply]) -> list[dict[str, Any]]:
    """Return each distinct set of parameters that reached the judge; more than one where one was
    dropped on the way."""
    distinct: list[dict[str, Any]] = []
    for reply in replies:
        if reply.sent is not None and reply.sent not in distinct:
            distinct.append(reply.sent)
    return distinct
