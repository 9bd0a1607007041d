"""The report's figures, each as SVG for the page and as PNG.

Colours keep their contrast on white and on black and differ for colour-blind readers (markers
differ as well). The SVG's text and axes are written in INK, which the page replaces by its own text
colour; a figure file stays black.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from lorabench.documents.limits import Interval
from lorabench.documents.report import BenchmarkReport, Report
from lorabench.documents.token_times import TokenTimes
from lorabench.documents.train_metrics import Trained, TrainMetrics
from lorabench.report.wording import VARIANT_TITLES, contrast_title, metric_title
from lorabench.scoring.held_out import recorded_training
from lorabench.scoring.inference_summary import decode_tokens_per_second

# a black that nothing else uses
INK = "#010203"
COLOURS = {"base": "#7d8590", "lora": "#d4651c", "merged": "#2b86c5"}
MARKERS = {"base": "o", "lora": "s", "merged": "D"}
# points of a line or marks of a strip, more would only make the file larger
MOST_MARKS = 1000
# inches around a panel
PANEL_GAP = 0.12
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "lorabench",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#8b949e",
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.transparent": True,
    "savefig.bbox": "tight",
}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure in both formats; the same bytes for the same data."""

    # the svg element, without XML declaration
    svg: str
    png: bytes


def draw_figures(
    report: Report, train_metrics: TrainMetrics | None, times: Mapping[str, Sequence[TokenTimes]]
) -> dict[str, Drawing]:
    """Return name -> drawing of every figure whose data a run has."""
    scored = [part for part in report["benchmarks"] if part["status"] == "ok"]
    compared = [part for part in scored if any(c["status"] == "ok" for c in part["contrasts"])]
    with mpl.rc_context(STYLE):
        figures: dict[str, Figure] = {}
        if trained := recorded_training(train_metrics):
            figures["loss"] = loss_figure(trained)
        if scored:
            figures["scores"] = scores_figure(scored)
        if compared:
            figures["differences"] = differences_figure(compared)
        if times:
            figures["latency"] = latency_figure(times)
            figures["memory"] = memory_figure(report["inference"]["peak_memory_bytes"])
        return {name: _drawn(figure) for name, figure in figures.items()}


def _drawn(figure: Figure) -> Drawing:
    svg, png = StringIO(), BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=150, transparent=False, facecolor="white")
    text = svg.getvalue()
    return Drawing(svg=text[text.index("<svg") :], png=png.getvalue())


def loss_figure(train_metrics: Trained) -> Figure:
    """Draw the training loss by optimiser step, and the held-out loss of base and adapter."""
    figure, axes = _panels(1, 4.0)
    every = max(1, len(train_metrics["steps"]) // MOST_MARKS)
    steps = train_metrics["steps"][::every]
    losses = [row["loss"] for row in steps]
    axes[0].plot(
        [row["step"] for row in steps], losses, color=INK, linewidth=1.4, label="training, a step"
    )
    axes[0].set(
        xlabel="optimiser step", ylabel="loss (nat per answer token)", title="Training loss"
    )
    held_out = train_metrics["likelihood"]["validation"]
    for variant, measured in (("base", held_out["base"]), ("lora", held_out["adapter"])):
        value = measured["nll_per_token"]
        label = f"held out, {VARIANT_TITLES[variant]}: {value:.3f}"
        axes[0].axhline(
            value, color=COLOURS[variant], linestyle=(0, (4, 3)), linewidth=1.2, label=label
        )
    axes[0].legend()
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def scores_figure(benchmarks: Sequence[BenchmarkReport]) -> Figure:
    """Draw every variant's score with its interval, one panel a benchmark."""
    figure, axes = _panels(len(benchmarks), 2.1)
    for panel, benchmark in zip(axes, benchmarks, strict=True):
        scale = 100 if benchmark["unit"] == "share" else 1
        scored = {
            name: (value, score["interval"])
            for name, score in benchmark["variants"].items()
            # a score that is fixed by construction is no measurement
            if (value := score["score"]) is not None and name not in benchmark["by_construction"]
        }
        for place, (variant, (value, interval)) in enumerate(scored.items()):
            _point(panel, variant, place, value, interval, scale)
        if benchmark["chance"] is not None:
            panel.axvline(scale * benchmark["chance"], color=INK, linestyle=":", linewidth=1)
            panel.annotate(
                "guessing",
                (scale * benchmark["chance"], 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2),
                textcoords="offset points",
                fontsize=8,
                va="top",
            )
        _name_rows(panel, [VARIANT_TITLES[variant] for variant in scored])
        metric = metric_title(benchmark["metric"]) + (" (%)" if scale == 100 else "")
        panel.set(title=_title(benchmark), xlabel=metric)
    return figure


def differences_figure(benchmarks: Sequence[BenchmarkReport]) -> Figure:
    """Draw the paired differences to the base with their intervals, one panel a benchmark."""
    figure, axes = _panels(len(benchmarks), 1.8)
    for panel, benchmark in zip(axes, benchmarks, strict=True):
        scale = 100 if benchmark["unit"] == "share" else 1
        shown = [
            c for c in benchmark["contrasts"] if c["status"] == "ok" and c["reference"] == "base"
        ]
        panel.axvline(0, color=INK, linewidth=1)
        for place, contrast in enumerate(shown):
            value, interval = contrast["difference"], contrast["interval"]
            _point(panel, contrast["variant"], place, value, interval, scale)
        _name_rows(panel, [contrast_title(contrast) for contrast in shown])
        unit = "percentage points" if scale == 100 else "points of 10"
        panel.set(title=_title(benchmark), xlabel=f"difference ({unit})")
        reach = max((abs(edge) for edge in panel.get_xlim()), default=1)
        panel.set_xlim(-reach, reach)
    return figure


def latency_figure(times: Mapping[str, Sequence[TokenTimes]]) -> Figure:
    """Draw time to first token, decode speed and the gaps between tokens."""
    shown = {variant: times[variant] for variant in VARIANT_TITLES if variant in times}
    figure = Figure(figsize=(8.6, 5.4), layout=ConstrainedLayoutEngine(h_pad=PANEL_GAP))
    grid = figure.add_gridspec(2, 2)
    axes = [figure.add_subplot(cell) for cell in (grid[0, 0], grid[0, 1], grid[1, :])]
    metrics: list[tuple[str, str, Callable[[TokenTimes], float]]] = [
        ("time to first token (ms)", "less", lambda row: row.time_to_first_token_ms),
        ("decode speed (tokens/s)", "more", decode_tokens_per_second),
    ]
    for panel, (label, better, value_of) in zip(axes, metrics, strict=False):
        for place, (variant, rows) in enumerate(shown.items()):
            _strip(panel, variant, place, [value_of(row) for row in rows])
        _name_rows(panel, [VARIANT_TITLES[variant] for variant in shown])
        title = f"{label.partition(' (')[0].capitalize()}, {better} is better"
        panel.set(title=title, xlabel=label)
        panel.set_xlim(left=0)
    longest = 0.0
    for variant, rows in shown.items():
        gaps = sorted(gap for row in rows for gap in row.inter_token_latencies_ms)
        # a thousand gaps draw the same line as a hundred thousand
        kept = range(0, len(gaps), max(1, len(gaps) // MOST_MARKS))
        shares = [(place + 1) / len(gaps) for place in kept]
        axes[2].step(
            [gaps[place] for place in kept],
            shares,
            where="post",
            color=COLOURS[variant],
            label=VARIANT_TITLES[variant],
            linewidth=1.6,
        )
        longest = max(longest, gaps[int(0.99 * (len(gaps) - 1))])
    axes[2].set(
        title="Time between tokens",
        xlabel="milliseconds (up to the 99th percentile)",
        ylabel="share of gaps",
    )
    axes[2].set_xlim(0, 1.05 * longest)
    axes[2].legend()
    return figure


def memory_figure(peak_bytes: Mapping[str, float | None]) -> Figure:
    """Draw each variant's peak memory while generating."""
    figure, axes = _panels(1, 2.0)
    shown = {name: peak for name in VARIANT_TITLES if (peak := peak_bytes.get(name))}
    for place, (variant, peak) in enumerate(shown.items()):
        bar = axes[0].barh(place, peak / 1e9, color=COLOURS[variant], height=0.55)
        axes[0].bar_label(bar, fmt="%.2f GB", padding=4)
    _name_rows(axes[0], [VARIANT_TITLES[variant] for variant in shown])
    axes[0].set(title="Peak memory while generating", xlabel="GB")
    axes[0].margins(x=0.15)
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, two a row of `height` inches."""
    columns = 1 if count == 1 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(8.6, height * rows), layout=ConstrainedLayoutEngine(h_pad=PANEL_GAP))
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def _point(
    panel: Axes, variant: str, place: int, value: float, interval: Interval | None, scale: int
) -> None:
    low, high = interval or (value, value)
    ends, colour = [scale * low, scale * high], COLOURS[variant]
    panel.plot(ends, [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
    panel.plot([scale * value], [place], color=colour, marker=MARKERS[variant], markersize=7)


def _strip(panel: Axes, variant: str, place: int, values: Sequence[float]) -> None:
    """Draw every value as a faint mark in a fixed spread, and the median as a bar."""
    shown = values[:: max(1, len(values) // MOST_MARKS)]
    spread = [place + 0.3 * ((number % 9) / 8 - 0.5) for number in range(len(shown))]
    colour, mark = COLOURS[variant], MARKERS[variant]
    panel.plot(shown, spread, mark, markersize=3.5, alpha=0.45, color=colour)
    median = statistics.median(values)
    panel.plot([median, median], [place - 0.32, place + 0.32], color=colour, linewidth=2.5)


def _name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Label the rows of a panel from the top down; ticks below are few enough to keep apart."""
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(visible=False, axis="y")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=5))


def _title(benchmark: BenchmarkReport) -> str:
    title = str(benchmark["title"])
    return title if benchmark["carries_signal"] else f"{title} (judge decides nothing)"
