"""Lay out report.json with the Jinja templates: Markdown, one HTML page, a page of items."""

import json
import re
from collections.abc import Mapping, Sequence

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lorabench.documents.report import Report
from lorabench.report import wording
from lorabench.report.figures import INK
from lorabench.report.items import Item, most_changed
from lorabench.report.plain_text import printable, shortened
from lorabench.report.run_facts import duration_text, time_text
from lorabench.scoring.benchmark import scored_benchmark

# a benchmark's items on the report's page, and characters of one text there and on the other page
ITEMS_SHOWN = 20
CHARACTERS_SHOWN = 1200
LONGEST = 20_000
MOST_BYTES = 2_900_000
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
    "shows": wording.contrast_text,
    "shown": printable,
    "cut": lambda text, limit: shortened(printable(text).strip(), limit),
    "duration": duration_text,
    "time": time_text,
    "answer_status": lambda answer: {"yes": "good", "no": "bad"}.get(answer, "unknown"),
    "words": lambda name: str(name).replace("_", " "),
}


def render_markdown(
    template: str, report: Report, figures: Mapping[str, str], items_page: str
) -> str:
    """Return the Markdown report; figures and items page are paths relative to it."""
    environment = page_environment(autoescape=False)
    environment.filters["cell"] = lambda text: str(text).replace("|", r"\|").replace("\n", " ")
    text = environment.from_string(template).render(
        report=report, figures=figures, captions=CAPTIONS, items_page=items_page
    )
    return printable(text)


def render_html(
    template: str,
    items_template: str,
    style: str,
    report: Report,
    figures: Mapping[str, str],
    items: Mapping[str, Sequence[Item]],
    items_page: str,
) -> str:
    """Return the page, smaller than MOST_BYTES: it shows fewer items where they are long.

    Args:
        items_template: the template of items, of which the page shows a part.
        items_page: address of the page of all items, relative to this one.
    """
    inlined = {name: Markup(inline_svg(name, svg)) for name, svg in figures.items()}
    environment = page_environment()
    page, part = environment.from_string(template), environment.from_string(items_template)
    count = ITEMS_SHOWN
    while True:
        cards = {
            name: Markup(
                part.render(
                    whole=False,
                    items=most_changed(found, count),
                    table=scored_benchmark(name),
                    limit=CHARACTERS_SHOWN,
                )
            )
            for name, found in items.items()
        }
        text = page.render(
            report=report,
            figures=inlined,
            captions=CAPTIONS,
            style=Markup(style),
            cards=cards,
            items_page=items_page,
        )
        if count == 0 or len(text.encode("utf-8", "replace")) <= MOST_BYTES:
            return printable(text)
        count //= 2


def render_items(template: str, style: str, run: str, items: Mapping[str, Sequence[Item]]) -> str:
    """Return the page of every item."""
    parts = [
        {
            "name": name,
            "table": scored_benchmark(name),
            # losses before gains of the same size
            "items": sorted(found, key=lambda item: -abs(item.change or 0.0)),
        }
        for name, found in items.items()
    ]
    page = page_environment().from_string(template)
    return printable(
        page.render(whole=True, run=run, parts=parts, style=Markup(style), limit=LONGEST)
    )


def inline_svg(name: str, svg: str) -> str:
    """Give an SVG element its own ids, the page's text colour and a label."""
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{CAPTIONS[name]}" ', 1)


def page_environment(*, autoescape: bool = True) -> Environment:
    """Return a Jinja environment with the report's words as filters."""
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
