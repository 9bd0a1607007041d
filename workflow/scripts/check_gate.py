"""Hold a run against its declared margins: all evidence -> results/{run}/gate.json and gate.md.

Each line of the gate passes, fails, is not shown (its interval crosses the margin) or is missing;
the answer is yes only where every required line passes. gate.json has numbers and codes, gate.md is
one short comment for a pull request. `make gate` prints the same and exits with the answer.

Optional inputs: merge_report, train_metrics, contamination (None where missing); perf is empty
where inference was not measured.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.description.licences import base_licence, find_licence, missing_duties
from lorabench.documents.gate import Declared, GateDocument
from lorabench.documents.item_result import ItemResult
from lorabench.documents.performance import Performance
from lorabench.documents.score import Score
from lorabench.documents.source import SourceRecord
from lorabench.files import read_json, write_json, write_text
from lorabench.job import run_job
from lorabench.report.gate_text import comment
from lorabench.report.records import (
    merge_check,
    overlapping_items,
    peak_memory_bytes,
    read_optional,
)
from lorabench.scoring.gate import EXIT_CODES, Evaluated, Evidence, gate_answer, gate_lines
from lorabench.scoring.gate_declaration import declaration_state, existing_results
from lorabench.scoring.held_out import held_out_conversations
from lorabench.scoring.item_rows import read_item_results
from lorabench.scoring.settings import GateSettings
from lorabench.scoring.speed_ratios import serving_ratios


def check_gate(
    *,
    run: str,
    scores: Sequence[Path],
    rows: Sequence[Path],
    perf: Sequence[Path],
    merge_report: Path | None,
    train_metrics: Path | None,
    contamination: Path | None,
    declaration: Path,
    shipped: Folder,
    model_source: Path,
    conversations_source: Path,
    settings: dict[str, Any],
    document: Path,
    remark: Path,
) -> None:
    """Write gate.json and gate.md.

    Args:
        scores, rows: parallel lists, one file a variant and benchmark.
        declaration: gate_declaration.json, in the run's folder.
        shipped: the folder that would ship: the adapter's or the merged model's.
        model_source, conversations_source: source.json of the base model and the training data.
    """
    chosen = GateSettings.parse_section(settings, "gate")
    measured: list[Performance] = [read_json(path) for path in perf]
    by_benchmark, by_variant = read_scores(scores, rows)
    history = [Declared(**entry) for entry in read_json(declaration)["history"]]
    state = declaration_state(history, existing_results(declaration.parent))
    lines = gate_lines(
        chosen,
        Evidence(
            scores=by_benchmark,
            rows=by_variant,
            conversations=held_out_conversations(read_optional(train_metrics)),
            merge=merge_check(read_optional(merge_report)),
            overlaps=overlapping_items(read_optional(contamination)),
            serving=serving_ratios(measured),
            memory={part["variant"]: peak_memory_bytes(part) for part in measured},
            licence_faults=licence_faults(model_source, conversations_source, shipped),
            base_is_random=read_json(model_source)["kind"] == "built-in",
            known_results=state.known_results,
        ),
    )
    answer = gate_answer(lines)
    gate = GateDocument(
        schema_version=1,
        run=run,
        variant=chosen.variant,
        alpha=chosen.alpha,
        answer=answer,
        exit_code=EXIT_CODES[answer],
        declaration=state,
        lines=lines,
    )
    write_json(document, asdict(gate))
    write_text(remark, comment(gate))


def read_scores(
    scores: Sequence[Path], rows: Sequence[Path]
) -> tuple[dict[str, Evaluated], dict[str, dict[str, list[ItemResult]]]]:
    """Return benchmark -> its score, and benchmark -> variant -> rows that were scored.

    A benchmark carries a signal where it does for every variant; its reason is the first that a
    variant gives.
    """
    by_benchmark: dict[str, Evaluated] = {}
    by_variant: dict[str, dict[str, list[ItemResult]]] = {}
    for score_path, rows_path in zip(scores, rows, strict=True):
        score: Score = read_json(score_path)
        name, variant = score["benchmark"], score["variant"]
        seen = by_benchmark.get(name, Evaluated())
        by_benchmark[name] = Evaluated(
            reason=seen.reason or score["reason"],
            carries_signal=seen.carries_signal and bool(score.get("carries_signal", True)),
        )
        if score["status"] == "ok":
            by_variant.setdefault(name, {})[variant] = read_item_results(rows_path)
    return by_benchmark, by_variant


def licence_faults(model: Path, conversations: Path, shipped: Path) -> list[str] | None:
    """Return what the licences ask and the folder lacks, None where one of them is not known."""
    source: SourceRecord = read_json(model)
    data: SourceRecord = read_json(conversations)
    licence = base_licence(model.parent.name, source)
    if licence is None or find_licence(data["licence"]) is None:
        return None
    return missing_duties(licence, shipped)


if __name__ == "__main__":
    run_job(snakemake, check_gate, unused=("card",))
