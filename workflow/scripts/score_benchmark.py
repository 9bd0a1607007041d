"""Score a benchmark of a variant: shards or judgments -> results/{run}/eval/{variant}/.

Rows of all shards are joined by index, checked to be complete, and written next to their score:
the metric of lorabench/scoring/benchmarks/{benchmark}.py with standard error, interval, breakdown
and the protocol that made them, in one sentence. Without rows the score file
says `not_run` and why. A new statistic reruns this rule, never a model or a judge.

Inputs: rows and protocols of every shard or of the judgments; the protocol of the answers that were
    judged.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.documents.protocol import AnswersProtocol
from lorabench.documents.score import NotScored, Scored, ScoreHead
from lorabench.files import read_json, write_json, write_jsonl
from lorabench.job import run_job
from lorabench.scoring.benchmark import scored_benchmark
from lorabench.scoring.item_rows import join_shards
from lorabench.scoring.protocols import Protocol, carries_signal, join_protocols
from lorabench.scoring.scores import missing_words, score_items, why_no_score


def score_benchmark(
    *,
    rows: Sequence[Path],
    protocols: Sequence[Path],
    answers_protocol: Path | None,
    length_control_file: Path | None,
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
        answers_protocol: how the judged answers were generated, None for benchmarks without a
            judge.
        length_control_file: AlpacaEval 2's df_gamed.csv, None without a length-controlled win rate.
        not_run_reason: why there are no rows, None where there are.
        settings: the keys `confidence` and `min_judged_share` of the section score_benchmark.
    """
    table = scored_benchmark(benchmark)
    head: ScoreHead = {
        "schema_version": 1,
        "benchmark": benchmark,
        "variant": variant,
        "metric": table.metric,
        "unit": table.unit,
    }
    items = join_shards(rows) if rows else []
    write_jsonl(rows_output, map(asdict, items))
    reason = why_no_score(items, not_run_reason, settings["min_judged_share"])
    if reason:
        absent: NotScored = {**head, "status": "not_run", "reason": reason}
        write_json(score_output, absent)
        return
    facts = join_protocols([read_json(path) for path in protocols])
    answers: AnswersProtocol | None = read_json(answers_protocol) if answers_protocol else None
    figures = score_items(table, items, settings["confidence"])
    if table.length_control:
        figures["secondary"]["length_control"] = length_controlled(items, length_control_file)
    score: Scored = {
        **head,
        "status": "ok",
        "reason": None,
        **figures,
        "protocol": table.protocol(facts, answers) + missing_words(figures),
        "protocol_detail": protocol_detail(facts, answers),
        "carries_signal": carries_signal(facts),
    }
    write_json(score_output, score)


def protocol_detail(facts: Protocol, answers: AnswersProtocol | None) -> dict[str, Any]:
    """Return the facts behind the protocol sentence, those of judged answers under `answers`."""
    plain = {key: value for key, value in facts.items() if key != "schema_version"}
    if answers is None:
        return plain
    made = {key: value for key, value in answers.items() if key != "schema_version"}
    return {**plain, "answers": made}


def length_controlled(items: Sequence[ItemResult], file: Path | None) -> dict[str, Any]:
    """Return the length-controlled win rate, or why there is none."""
    # a second that others need not wait
    from lorabench.scoring.length_control import length_control, read_regulariser

    return length_control(items, read_regulariser(file) if file else None)


if __name__ == "__main__":
    run_job(snakemake, score_benchmark, unused=("answers", "results"))
