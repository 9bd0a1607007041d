"""Write the report: everything a run has measured -> results/{run}/report/.

The first screen answers three questions: did the adapter help, what does it cost to serve, may I
ship it; next to them are date, commit, times and hardware. Below are scores with intervals, paired
differences, the answers that changed most, training, speed and memory, protocols, limits and where
everything came from. What did not run is shown with its reason. report.json holds all of it but the
answers; the templates lay it out; report.html is one file without any request to elsewhere, and
items.html has every item.

Optional inputs: train_metrics, run_config, merge_report, data_summary, contamination (None where
missing); perf and times are empty where inference was not measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorabench.documents.gate import gate_of
from lorabench.documents.item_result import ItemResult
from lorabench.files import read_json, replacing, write_json, write_text
from lorabench.job import run_job
from lorabench.report.document import assemble_report
from lorabench.report.figures import draw_figures
from lorabench.report.items import Item, changes_of, compare_items, question_rows
from lorabench.report.records import read_answers, read_optional
from lorabench.report.rendering import render_html, render_items, render_markdown
from lorabench.report.run_facts import stage_seconds
from lorabench.scoring.item_rows import read_item_results
from lorabench.scoring.speed_ratios import read_times


def write_report(
    *,
    run: str,
    scores: Sequence[Path],
    rows: Sequence[Path],
    answers: Sequence[Path],
    compare: Path,
    gate: Path,
    perf: Sequence[Path],
    times: Sequence[Path],
    train_metrics: Path | None,
    run_config: Path | None,
    merge_report: Path | None,
    data_summary: Path | None,
    contamination: Path | None,
    model_source: Path,
    conversations_source: Path,
    benchmark_sources: Sequence[Path],
    markdown_template: Path,
    html_template: Path,
    items_template: Path,
    style: Path,
    markdown: Path,
    document: Path,
    page: Path,
    items_page: Path,
    figures: Path,
    durations: str,
) -> None:
    """Write the three forms of the report and its figures.

    Args:
        scores, rows: parallel lists, one file a variant and benchmark.
        answers: answers/{variant}/{benchmark}.jsonl of the judged benchmarks.
        model_source, conversations_source: source.json of what the run starts from.
        benchmark_sources: resources/benchmarks/{benchmark}/{source}/source.json.
        markdown, document, page, items_page: report.md, report.json, report.html, items.html.
        durations: folder of Snakemake's benchmark files, which no rule declares as its output.
    """
    metrics = read_optional(train_metrics)
    sources = {"model": model_source, "conversations": conversations_source}
    sources |= {path.parent.parent.name: path for path in benchmark_sources}
    documents = [read_json(path) for path in scores]
    items = read_items(documents, rows, answers, benchmark_sources)
    report = assemble_report(
        run=run,
        model=model_source.parent.name,
        scores=documents,
        compare=read_json(compare),
        train_metrics=metrics,
        run_config=read_optional(run_config),
        merge_report=read_optional(merge_report),
        data_summary=read_optional(data_summary),
        perf=[read_json(path) for path in perf],
        sources={name: read_json(path) for name, path in sources.items()},
        contamination=read_optional(contamination),
        gate=gate_of(read_json(gate)),
        changes={name: made for name, found in items.items() if (made := changes_of(found))},
        seconds=stage_seconds(Path(durations)),
    )
    drawings = draw_figures(report, metrics, read_times(times))
    for name, drawing in drawings.items():
        write_text(figures / f"{name}.svg", drawing.svg)
        with replacing(figures / f"{name}.png") as temporary:
            temporary.write_bytes(drawing.png)
    write_json(document, report)
    paths = {name: f"{figures.name}/{name}.png" for name in drawings}
    inlined = {name: drawing.svg for name, drawing in drawings.items()}
    given = (markdown_template, html_template, items_template, style)
    plain, template, parts, sheet = (path.read_text(encoding="utf-8") for path in given)
    write_text(markdown, render_markdown(plain, report, paths, items_page.name))
    write_text(page, render_html(template, parts, sheet, report, inlined, items, items_page.name))
    write_text(items_page, render_items(parts, sheet, run, items))


def read_items(
    scores: Sequence[Mapping[str, Any]],
    rows: Sequence[Path],
    answers: Sequence[Path],
    benchmark_sources: Sequence[Path],
) -> dict[str, list[Item]]:
    """Return benchmark -> its items with the answers of all variants, of what was scored."""
    results: dict[str, dict[str, list[ItemResult]]] = {}
    for score, path in zip(scores, rows, strict=True):
        if score["status"] == "ok":
            results.setdefault(score["benchmark"], {})[score["variant"]] = read_item_results(path)
    generated = read_answers(answers)
    folders = {path.parent.parent.name: path.parent for path in benchmark_sources}
    items = {}
    for name, by_variant in results.items():
        every = [row for found in by_variant.values() for row in found]
        wanted = {key for row in every for key in (row.id, row.cluster)}
        questions = question_rows(folders[name], wanted) if name in folders else {}
        items[name] = compare_items(by_variant, generated.get(name, {}), questions)
    return items


if __name__ == "__main__":
    run_job(snakemake, write_report, unused=("settings",))
