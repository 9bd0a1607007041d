"""Publish the report: results/{run}/ -> reports/bench/{git-sha}/.

eval_results.json (all scores and comparisons), gsm8k_results.json and mmlu_results.json (every
item), mtbench_outputs.json and alpaca_outputs.json (every answer with its judgment),
perf_results.json and perf_{base,lora,merged}.json, and the report itself (report.md, report.json,
report.html, items.html, figures/). The state of the working tree is written inside the JSON
files, and no folder of this machine. The export's folder depends on the commit; nothing else of a
run does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from lorabench.arguments import Folder
from lorabench.documents.comparison import Comparison
from lorabench.documents.exports import ExportHead, GitState
from lorabench.documents.item_result import ItemResult
from lorabench.documents.performance import Performance
from lorabench.documents.score import Score
from lorabench.files import read_json, write_json, write_text
from lorabench.job import run_job
from lorabench.observation.git import git_state
from lorabench.publishing import publish_file, publish_folder
from lorabench.report.exports import (
    answer_outputs,
    eval_results,
    item_results,
    perf_results,
    perf_variant,
)
from lorabench.report.model_index import with_scores
from lorabench.report.plain_text import without_paths
from lorabench.report.records import read_answers
from lorabench.scoring.item_rows import read_item_results


def export_report(
    *,
    run: str,
    scores: Sequence[Path],
    rows: Sequence[Path],
    answers: Sequence[Path],
    perf: Sequence[Path],
    compare: Path,
    markdown: Path,
    document: Path,
    page: Path,
    items_page: Path,
    figures: Path,
    cards: Sequence[Path],
    benchmark_sources: Sequence[Path],
    folder: Folder,
    items_of_tasks: Mapping[str, str],
    outputs_of_judged: Mapping[str, str],
) -> None:
    """Write the published folder.

    Args:
        scores, rows: score files and item rows, parallel lists.
        answers: answers/{variant}/{benchmark}.jsonl of the judged benchmarks.
        folder: reports/bench/{git-sha}.
        items_of_tasks, outputs_of_judged: benchmark -> file for its items, for its answers.
    """
    state = cast(GitState | None, git_state(Path(__file__).parent))
    head: ExportHead = {"schema_version": 1, "run": run, "git": state}
    comparison: Comparison = without_paths(read_json(compare))
    by_benchmark: dict[str, dict[str, Score]] = {}
    items: dict[str, dict[str, list[ItemResult]]] = {}
    for score_path, rows_path in zip(scores, rows, strict=True):
        score: Score = without_paths(read_json(score_path))
        by_benchmark.setdefault(score["benchmark"], {})[score["variant"]] = score
        items.setdefault(score["benchmark"], {})[score["variant"]] = read_item_results(rows_path)
    add_scores(cards, by_benchmark, benchmark_sources)
    outputs = read_answers(answers)
    performances: list[Performance] = [without_paths(read_json(path)) for path in perf]
    measured = {part["variant"]: part for part in performances}

    write_json(folder / "eval_results.json", eval_results(head, by_benchmark, comparison))
    for name, file in items_of_tasks.items():
        write_json(folder / file, item_results(head, name, by_benchmark, items.get(name, {})))
    for name, file in outputs_of_judged.items():
        rated, given = items.get(name, {}), outputs.get(name, {})
        write_json(folder / file, answer_outputs(head, name, by_benchmark, rated, given))
    write_json(folder / "perf_results.json", perf_results(head, measured, comparison))
    for variant in ("base", "lora", "merged"):
        write_json(folder / f"perf_{variant}.json", perf_variant(head, variant, measured))
    publish_folder(figures, folder / "figures")
    for shown in (markdown, page, items_page):
        publish_file(shown, folder / shown.name)
    write_json(folder / "report.json", {**read_json(document), "git": head["git"]})


def add_scores(
    cards: Sequence[Path],
    scores: Mapping[str, Mapping[str, Score]],
    benchmark_sources: Sequence[Path],
) -> None:
    """Write the scores of adapter and merged model into their cards, if they decide anything."""
    sources = {path.parent.parent.name: read_json(path) for path in benchmark_sources}
    for card, variant in zip(cards, ("lora", "merged"), strict=True):
        done = [found[variant] for found in scores.values() if variant in found]
        scored = [score for score in done if score["status"] == "ok" and score["carries_signal"]]
        if scored:
            write_text(card, with_scores(card.read_text(encoding="utf-8"), scored, sources))


if __name__ == "__main__":
    run_job(snakemake, export_report, unused=("settings", "exported_figures"))
