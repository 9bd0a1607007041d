"""Compare variants on the same items: differences, tests, flips, equivalence.

The family of tests for Holm's correction is fixed before the scores are seen: every benchmark whose
scores carry a signal, in both contrasts with the base. Merged against lora is not in it: the two
should be equal, so that contrast is tested for equivalence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lorabench.documents.comparison import PairName, TestFamily
from lorabench.documents.item_result import ItemResult
from lorabench.scoring.benchmark import RATING, SHARE, ScoredBenchmark
from lorabench.scoring.item_rows import as_scores, pair_rows
from lorabench.scoring.settings import ComparisonSettings
from lorabench.scoring.significance import (
    Difference,
    Equivalence,
    FlipTable,
    bootstrap_difference,
    equivalence_test,
    flip_table,
    holm,
    paired_difference,
    paired_proportion_difference,
    verdict,
)

# name -> (variant, reference)
PAIRS: dict[PairName, tuple[str, str]] = {
    "lora_vs_base": ("lora", "base"),
    "merged_vs_base": ("merged", "base"),
    "merged_vs_lora": ("merged", "lora"),
}
# What an item that was not seen may have changed by, at least: a preference can change by 1; a
# rating seldom changes by more than 3 points. See `paired_difference`.
UNSEEN = {SHARE: 1.0, RATING: 3.0}
NO_VERDICT = "no verdict: the judge's scores decide nothing, they only show that the step works"


def compare_benchmark(
    table: ScoredBenchmark,
    rows: Mapping[str, Sequence[ItemResult]],
    signal: bool,
    confidence: float,
    settings: ComparisonSettings,
) -> dict[PairName, Any]:
    """Return the contrasts of one benchmark, before `add_verdicts`.

    Raises:
        DataError: two variants saw different items.
    """
    contrasts: dict[PairName, Any] = {}
    for name, (variant, reference) in PAIRS.items():
        if variant in rows and reference in rows:
            contrast = _contrast(table, rows[reference], rows[variant], confidence, settings)
            contrasts[name] = {"carries_signal": signal, **contrast}
    return contrasts


def _contrast(
    table: ScoredBenchmark,
    reference: Sequence[ItemResult],
    variant: Sequence[ItemResult],
    confidence: float,
    settings: ComparisonSettings,
) -> dict[str, Any]:
    pairs, dropped = pair_rows(reference, variant)
    if not pairs:
        return {
            "status": "not_run",
            "reason": "no item has a score in both variants",
            "items_dropped": dropped,
        }
    before, after = as_scores([pair[0] for pair in pairs]), as_scores([pair[1] for pair in pairs])
    clusters = clusters_of(table, [pair[0] for pair in pairs])
    flips = flips_of(before, after) if table.right_or_wrong else None
    difference = difference_of(table, before, after, clusters, confidence)
    bootstrap = bootstrap_difference(
        before, after, clusters, confidence, settings.resamples, settings.seed
    )
    margin = (
        settings.equivalence_margin_rating
        if table.unit == RATING
        else settings.equivalence_margin_share
    )
    equivalence = (
        equivalence_test(before, after, margin, UNSEEN[table.unit], clusters, confidence)
        if flips is None
        else equivalence_of_shares(flips, margin, confidence)
    )
    return {
        "status": "ok",
        "reason": None,
        # lacking a score in one of the two variants
        "items_dropped": dropped,
        "items_changed": sum(a != b for a, b in zip(before, after, strict=True)),
        **asdict(difference),
        "bootstrap": {
            **{key: asdict(bootstrap)[key] for key in ("standard_error", "interval", "method")},
            "resampled_unit": table.cluster or "item",
            "units": bootstrap.clusters,
        },
        # what the verdict is about, None = the benchmark
        "scope": table.scope,
        "flips": None if flips is None else asdict(flips),
        "equivalence": asdict(equivalence),
    }


def clusters_of(table: ScoredBenchmark, rows: Sequence[ItemResult]) -> list[str] | None:
    """Return the unit of each item that was sampled, None where that is the item itself."""
    return [row.cluster for row in rows] if table.cluster else None


def flips_of(before: Sequence[float], after: Sequence[float]) -> FlipTable:
    """Count right and wrong answers of two variants on the same items."""
    return flip_table([score == 1 for score in before], [score == 1 for score in after])


def difference_of(
    table: ScoredBenchmark,
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[str] | None,
    confidence: float,
) -> Difference:
    """Return the paired difference of a benchmark by the method that fits its scores."""
    if table.right_or_wrong:
        return paired_proportion_difference(flips_of(before, after), confidence)
    return paired_difference(before, after, UNSEEN[table.unit], clusters, confidence)


def equivalence_of_shares(flips: FlipTable, margin: float, confidence: float) -> Equivalence:
    """Return whether two paired shares are equal within the margin.

    The t test would call two variants equal that agree on a handful of items, as it sees no spread.
    """
    difference = paired_proportion_difference(flips, 1 - 2 * (1 - confidence))
    low, high = difference.interval or (-1.0, 1.0)
    return Equivalence(
        difference=difference.difference,
        margin=margin,
        p_value=None,
        equivalent=-margin < low and high < margin,
        interval=difference.interval,
        n=difference.n,
    )


def add_verdicts(benchmarks: Mapping[str, Mapping[PairName, Any]]) -> TestFamily:
    """Add p_value_holm, verdict and verdict_word to every contrast; return the family."""
    family = {
        f"{benchmark}:{name}": contrast["p_value"]
        for benchmark, contrasts in benchmarks.items()
        for name, contrast in contrasts.items()
        if name.endswith("_vs_base")
        and contrast["carries_signal"]
        and contrast.get("p_value") is not None
    }
    adjusted = holm(family)
    for benchmark, contrasts in benchmarks.items():
        for name, contrast in contrasts.items():
            if contrast["status"] == "ok":
                contrast["p_value_holm"] = adjusted.get(f"{benchmark}:{name}")
                text = _verdict(contrast) if contrast["carries_signal"] else NO_VERDICT
                contrast["verdict"], contrast["verdict_word"] = text, text.split(":")[0]
    return {"method": "Holm (1979)", "p_values": family, "adjusted": adjusted}


def _verdict(contrast: dict[str, Any]) -> str:
    names = Difference.__dataclass_fields__
    difference = Difference(**{name: contrast[name] for name in names})
    text, scope = verdict(difference, contrast["p_value_holm"]), contrast["scope"]
    return f"{text}{'; ' if ':' in text else ': '}about {scope} only" if scope else text
