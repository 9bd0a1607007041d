"""Score a benchmark of a variant: shards or judgments -> results/{run}/eval/{variant}/{benchmark}.json and .jsonl.

Rows of all shards are joined by index, checked to be complete, and written beside their score: exact match (GSM8K),
accuracy (MMLU), mean judge rating (MT-Bench) or win rate (AlpacaEval) with standard error, interval, breakdown and the
protocol that made them. Without rows the score file says `not_run` and why. A new statistic reruns this rule, never a
model or a judge.

Inputs: rows and protocols of every shard, both empty for a benchmark that could not run.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.files import read_json, write_json, write_jsonl
from lorabench.job import job
from lorabench.report.eval_rows import join_shards
from lorabench.report.protocols import join_protocols
from lorabench.report.scores import METRICS, score_items


def score_benchmark(
    *,
    rows: Sequence[Path],
    protocols: Sequence[Path],
    not_run_reason: str | None,
    benchmark: str,
    variant: str,
    settings: dict[str, Any],
    rows_output: Path,
    score_output: Path,
) -> None:
    """Write the joined item rows and the score file of one benchmark of one variant; `settings` needs `confidence`."""
    head = {"schema_version": 1, "benchmark": benchmark, "variant": variant}
    if not rows:
        write_jsonl(rows_output, [])
        metric, unit = METRICS[benchmark]
        reason = not_run_reason or "no rows were made for it"
        write_json(score_output, {**head, "status": "not_run", "reason": reason, "metric": metric, "unit": unit})
        return
    items = join_shards(rows)
    protocol = join_protocols([read_json(path) for path in protocols])
    score = score_items(benchmark, items, settings["confidence"])
    write_jsonl(rows_output, map(asdict, items))
    write_json(score_output, {**head, "status": "ok", "reason": None, **score, **protocol})


if __name__ == "__main__":
    given = snakemake  # noqa: F821
    with job(given):
        score_benchmark(
            rows=[Path(path) for path in given.input.get("rows", [])],
            protocols=[Path(path) for path in given.input.get("protocols", [])],
            not_run_reason=given.params.not_run_reason,
            benchmark=given.wildcards.benchmark,
            variant=given.wildcards.variant,
            settings=given.params.settings,
            rows_output=Path(given.output.rows),
            score_output=Path(given.output.score),
        )
