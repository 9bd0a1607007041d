"""Score a benchmark of a variant: shards or judgments -> results/{run}/eval/{variant}/{benchmark}.json and .jsonl.

Rows of all shards are joined by index, checked to be complete, and written beside their score: exact match (GSM8K),
accuracy (MMLU), mean judge rating (MT-Bench) or win rate (AlpacaEval) with standard error, interval, breakdown and the
protocol that made them. Without rows the score file says `not_run` and why. A new statistic reruns this rule, never a
model or a judge.

Inputs: rows and protocols of every shard or of the judgments; the protocol of the answers that were judged.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.files import read_json, write_json, write_jsonl
from lorabench.job import job
from lorabench.report.eval_rows import join_shards
from lorabench.report.protocols import add_generation, join_protocols
from lorabench.report.scores import METRICS, score_items


def score_benchmark(
    *,
    rows: Sequence[Path],
    protocols: Sequence[Path],
    answers_protocol: Path | None,
    not_run_reason: str | None,
    benchmark: str,
    variant: str,
    settings: dict[str, Any],
    rows_output: Path,
    score_output: Path,
) -> None:
    """Write the joined item rows and the score file of one benchmark of one variant.

    Args:
        rows, protocols: of every shard; both empty for a benchmark that could not run.
        answers_protocol: how the judged answers were generated, None for benchmarks without a judge.
        not_run_reason: why there are no rows, None where there are.
        benchmark, variant: which score.
        settings: the key `confidence` of the section score_benchmark.
        rows_output, score_output: the files to write.
    """
    head = {"schema_version": 1, "benchmark": benchmark, "variant": variant}
    if not rows:
        write_jsonl(rows_output, [])
        metric, unit = METRICS[benchmark]
        reason = not_run_reason or "no rows were made for it"
        write_json(score_output, {**head, "status": "not_run", "reason": reason, "metric": metric, "unit": unit})
        return
    items = join_shards(rows)
    protocol = join_protocols([read_json(path) for path in protocols])
    if answers_protocol is not None:
        protocol = add_generation(protocol, read_json(answers_protocol))
    score = score_items(benchmark, items, settings["confidence"])
    write_jsonl(rows_output, map(asdict, items))
    write_json(score_output, {**head, "status": "ok", "reason": None, **score, **protocol})


if __name__ == "__main__":
    given = snakemake  # noqa: F821
    with job(given):
        score_benchmark(
            rows=[Path(path) for path in given.input.get("rows", [])],
            protocols=[Path(path) for path in given.input.get("protocols", [])],
            answers_protocol=Path(given.input.answers_protocol) if given.input.get("answers_protocol") else None,
            not_run_reason=given.params.not_run_reason,
            benchmark=given.wildcards.benchmark,
            variant=given.wildcards.variant,
            settings=given.params.settings,
            rows_output=Path(given.output.rows),
            score_output=Path(given.output.score),
        )
