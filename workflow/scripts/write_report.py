"""Write the report: everything a run has measured ->
results/{run}/report/{report.md,report.json,report.html,figures/}.

The first screen answers three questions: did the adapter help, what does it cost to serve, may I
ship it. Below are scores with intervals, paired differences, training, speed and memory,
protocols, limits and where everything came from. What did not run is shown with its reason.
report.json holds all of it; the two templates lay it out; report.html is one file without any
request to elsewhere.

Optional inputs: train_metrics, run_config, merge_report, data_summary, contamination (None where
missing); perf and times are empty where inference was not measured.
"""

from collections.abc import Sequence
from pathlib import Path

from lorabench.documents.gate import gate_of
from lorabench.files import read_json, write_beside, write_json, write_text
from lorabench.job import run_job
from lorabench.report.document import assemble_report
from lorabench.report.figures import draw_figures
from lorabench.report.records import read_optional
from lorabench.report.rendering import render_html, render_markdown
from lorabench.scoring.speed_ratios import read_times


def write_report(
    *,
    run: str,
    scores: Sequence[Path],
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
    style: Path,
    markdown: Path,
    document: Path,
    page: Path,
    figures: Path,
) -> None:
    """Write the three forms of the report and its figures.

    Args:
        run: the run's name.
        model_source, conversations_source: source.json of what the run starts from.
        benchmark_sources: resources/benchmarks/{benchmark}/{source}/source.json.
        markdown, document, page: report.md, report.json, report.html.
        figures: folder of the figures, next to the report.
    """
    records = {
        "train_metrics": read_optional(train_metrics),
        "run_config": read_optional(run_config),
        "merge_report": read_optional(merge_report),
        "data_summary": read_optional(data_summary),
        "contamination": read_optional(contamination),
    }
    sources = {
        "model": model_source,
        "conversations": conversations_source,
        **{path.parent.parent.name: path for path in benchmark_sources},
    }
    measured = read_times(times)
    report = assemble_report(
        run=run,
        model=model_source.parent.name,
        scores=[read_json(path) for path in scores],
        compare=read_json(compare),
        gate=gate_of(read_json(gate)),
        perf=[read_json(path) for path in perf],
        sources={name: read_json(path) for name, path in sources.items()},
        **records,
    )
    drawings = draw_figures(report, records["train_metrics"], measured)
    for name, drawing in drawings.items():
        write_text(figures / f"{name}.svg", drawing.svg)
        with write_beside(figures / f"{name}.png") as temporary:
            temporary.write_bytes(drawing.png)
    write_json(document, report)
    paths = {name: f"{figures.name}/{name}.png" for name in drawings}
    write_text(
        markdown, render_markdown(markdown_template.read_text(encoding="utf-8"), report, paths)
    )
    inlined = {name: drawing.svg for name, drawing in drawings.items()}
    template, sheet = html_template.read_text(encoding="utf-8"), style.read_text(encoding="utf-8")
    write_text(page, render_html(template, sheet, report, inlined))


if __name__ == "__main__":
    run_job(snakemake, write_report, unused=("settings",))
