"""Lay out a comparison of runs as one page."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lorabench.report.plain_text import printable
from lorabench.report.rendering import page_environment
from lorabench.report.run_comparison import Run, corrected, letter
from lorabench.scoring.benchmark import scored_benchmark


def render_runs(
    template: str,
    style: str,
    runs: Sequence[Run],
    contrasts: Sequence[Mapping[str, Mapping[str, Any]]],
) -> str:
    """Return the page: a table of runs with their scores, and the paired differences to A.

    Args:
        style: text of the style sheet.
        contrasts: what `compare_runs` made of the runs.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    page = page_environment().from_string(template)
    text = page.render(
        runs=[{"letter": letter(number), "run": run} for number, run in enumerate(runs)],
        tables={name: scored_benchmark(name) for name in names},
        contrasts=[
            {"letter": letter(number), "found": found}
            for number, found in enumerate(contrasts, start=1)
        ],
        corrected=corrected(contrasts),
        style=Markup(style),
    )
    return printable(text)
