"""Lay out report.json with the Jinja templates: Markdown, and one HTML page that needs nothing
beside itself."""

import json
import re
from collections.abc import Mapping

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lorabench.documents.report import Report
from lorabench.report import wording
from lorabench.report.figures import INK

CAPTIONS = {
    "loss": (
        "Training loss by optimiser step; dashed, the exact loss on the held-out conversations"
        " before and after."
    ),
    "scores": "Scores with their intervals.",
    "differences": (
        "Paired differences to the base on the same items, with intervals; right of zero is better."
    ),
    "latency": (
        "Every prompt and repeat; the bar is the median. Below, the distribution of the gaps"
        " between tokens."
    ),
    "memory": "Peak memory of the process while generating, after loading.",
}
FILTERS = {
    "comparison": wording.contrast_title,
    "score": wording.score_text,
    "interval": wording.interval_text,
    "difference": wording.difference_text,
    "size": wording.size_text,
    "loss_change": wording.loss_change_text,
    "ratio": wording.ratio_text,
    "bytes": wording.bytes_text,
    "p_value": wording.p_text,
    "variant": wording.VARIANT_TITLES.__getitem__,
    "metric": wording.metric_title,
    "benchmark": wording.benchmark_title,
    "signed": lambda value, digits: f"{value:+.{digits}f}".replace("-", wording.MINUS),
    "words": lambda name: str(name).replace("_", " "),
}


def render_markdown(template: str, report: Report, figures: Mapping[str, str]) -> str:
    """Return the Markdown report; `figures` maps names to paths relative to it."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = lambda text: str(text).replace("|", r"\|").replace("\n", " ")
    return environment.from_string(template).render(
        report=report, figures=figures, captions=CAPTIONS
    )


def render_html(template: str, style: str, report: Report, figures: Mapping[str, str]) -> str:
    """Return the page; `figures` maps names to SVG elements, `style` is the text of the style
    sheet."""
    inlined = {name: Markup(inline_svg(name, svg)) for name, svg in figures.items()}
    environment = _environment(autoescape=True)
    page = environment.from_string(template)
    return page.render(report=report, figures=inlined, captions=CAPTIONS, style=Markup(style))


def inline_svg(name: str, svg: str) -> str:
    """Make an SVG element fit to stand in a page with others: ids of its own, the page's text
    colour, a label."""
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{CAPTIONS[name]}" ', 1)


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    return environment
