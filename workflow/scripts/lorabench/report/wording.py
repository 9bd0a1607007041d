"""Numbers in words: how the report writes shares, ratings, ratios, times, sizes and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from lorabench.benchmark_tables import benchmark_names
from lorabench.documents.comparison import Contrasted, HeldOutLoss
from lorabench.scoring.benchmark import scored_benchmark

METRIC_TITLES = {"mean_judge_rating": "mean rating, 1 to 10"}
VARIANT_TITLES = {"base": "base", "lora": "base + adapter", "merged": "merged"}
# in comparisons
SHORT_TITLES = {"base": "base", "lora": "adapter", "merged": "merged"}
MINUS = "−"  # noqa: RUF001 - the typographic minus, in text for people


def benchmark_title(benchmark: str) -> str:
    """Return how reports write a benchmark's name; other names are not changed."""
    known = benchmark in benchmark_names("scoring")
    return scored_benchmark(benchmark).title if known else benchmark


def metric_title(metric: str) -> str:
    """Return a metric in words."""
    return METRIC_TITLES.get(metric, metric.replace("_", " "))


def score_text(value: float | None, unit: str) -> str:
    """Return a score: shares as percent with one decimal, ratings with two."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.2f}"


def interval_text(interval: Sequence[float] | None, unit: str) -> str:
    """Return an interval as "[27.1, 38.9]" in the unit of `score_text`."""
    if interval is None:
        return "no interval"
    scale, digits = (100, 1) if unit == "share" else (1, 2)
    return f"[{', '.join(signed_zero(scale * bound, digits) for bound in interval)}]"


def difference_text(value: float, unit: str) -> str:
    """Return a signed difference: shares in percentage points, ratings in points."""
    number = f"{100 * value:+.1f}" if unit == "share" else f"{value:+.2f}"
    number = number if float(number) else number[1:]
    return f"{number.replace('-', MINUS)} {'pp' if unit == 'share' else 'points'}"


def equality_text(contrast: Contrasted, unit: str) -> str:
    """Return what a comparison of two variants shows that should be equal."""
    if contrast["items_changed"] == 0:
        return f"equal on all {contrast['n']:,} items"
    start = "" if contrast["equivalence"]["equivalent"] else "not shown "
    return f"{start}equal within {size_text(contrast['equivalence']['margin'], unit)}"


def contrast_title(contrast: Mapping[str, Any]) -> str:
    """Return a comparison's name, as "adapter vs base"."""
    return f"{SHORT_TITLES[contrast['variant']]} vs {SHORT_TITLES[contrast['reference']]}"


def size_text(value: float, unit: str) -> str:
    """Return the size of a difference without a sign, as "4.1 pp"."""
    return f"{100 * value:.1f} pp" if unit == "share" else f"{value:.2f} points"


def signed_zero(value: float, digits: int) -> str:
    """Return a rounded number with a typographic minus, never "-0.0"."""
    text = f"{value:.{digits}f}"
    return (text[1:] if float(text) == 0 and text.startswith("-") else text).replace("-", MINUS)


def loss_change_text(validation: HeldOutLoss) -> str:
    """Return the change of the held-out loss with its interval, as "+0.600 nat [0.512, 0.688]"."""
    change = validation["adapter_nll"] - validation["base_nll"]
    text = f"{change:+.3f}".replace("-", MINUS) + " nat"
    interval = validation.get("interval")
    if interval is None:
        return f"{text}, no interval"
    return f"{text} [{', '.join(signed_zero(bound, 3) for bound in interval)}]"


def ratio_text(ratio: Mapping[str, Any]) -> str:
    """Return a ratio with its interval, as "0.60 [0.58, 0.61]"."""
    interval = ratio["interval"]
    bounds = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{ratio['ratio']:.2f}{bounds}"


def bytes_text(value: float | None) -> str:
    """Return a number of bytes in GB or MB (powers of ten)."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def p_text(value: float | None) -> str:
    """Return a p-value with two significant digits, "< 0.001" below that."""
    if value is None:
        return "–"  # noqa: RUF001
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.995 else "1"


def contrast_text(contrast: Contrasted, unit: str) -> str:
    """Return what a paired difference shows, with the smallest that n items could have found."""
    word = contrast["verdict_word"]
    if word == "no verdict":
        return "no verdict: the judge decides nothing"
    about = f", about {contrast['scope']} only" if contrast["scope"] else ""
    if word in ("better", "worse"):
        return f"{word}{about}"
    smallest = contrast["smallest_detectable"]
    if smallest is None:
        return contrast["verdict"]
    return f"{word}: {size_text(smallest, unit)} or more would be detected{about}"
