"""Judging jobs in a folder of a test, and what they leave there."""

import json
from pathlib import Path
from typing import Any

from judge_alpaca_eval import judge_alpaca_eval
from judge_mt_bench import judge_mt_bench
from lorabench.files import write_jsonl

Judged = tuple[list[dict[str, Any]], dict[str, Any]]


def rate(
    folder: Path,
    benchmark: Path,
    judge: dict[str, Any],
    answers: list[dict[str, Any]],
    *,
    max_tokens: int = 64,
    reasks: int = 2,
    **changes: Any,
) -> Judged:
    """Rate the turns of MT-Bench answers; return rows and protocol."""
    given = {"references": None, "writer": "mt_bench-lora", **changes}
    settings = {"judge": judge, "max_tokens": max_tokens, "reasks": reasks}
    judge_mt_bench(**_shared(folder, benchmark, answers) | given, settings=settings)
    return read(folder)


def prefer(
    folder: Path,
    benchmark: Path,
    judge: dict[str, Any],
    answers: list[dict[str, Any]],
    *,
    both_orders: bool = False,
    reasks: int = 0,
    **changes: Any,
) -> Judged:
    """Compare AlpacaEval answers in pairs; return rows and protocol."""
    given = {"reference_answers": None, "writer": "alpaca_eval-lora", **changes}
    settings = {"judge": judge, "max_tokens": 1, "both_orders": both_orders, "reasks": reasks}
    judge_alpaca_eval(**_shared(folder, benchmark, answers) | given, settings=settings)
    return read(folder)


def read(folder: Path) -> Judged:
    """Return rows and protocol of the job that ended last in a folder."""
    rows = [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")]
    return rows, json.loads((folder / "protocol.json").read_text())


def _shared(folder: Path, benchmark: Path, answers: list[dict[str, Any]]) -> dict[str, Any]:
    write_jsonl(folder / "answers.jsonl", answers)
    return {
        "answers": folder / "answers.jsonl",
        "benchmark": benchmark,
        "model": None,
        "store": folder / "store",
        "min_judged_share": 0.9,
        "rows": folder / "rows.jsonl",
        "protocol": folder / "protocol.json",
    }
