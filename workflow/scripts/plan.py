"""Say before a run what its evaluation can show: `make plan`, `make plan CONFIG=config/demo.yaml`.

For each benchmark: the items, the smallest difference that would be found, whether they suffice for
the gate's margin and how many would, how long the jobs took here before, and what the judge will
cost. Loads no model and asks nobody.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.control.base_model import base_config
from lorabench.control.command import configured_runs, errors_in_lines, parser_of
from lorabench.control.estimate import duration
from lorabench.control.evaluation_time import SOURCE, predicted_seconds
from lorabench.control.forecast import (
    Power,
    evaluated,
    item_count,
    judge_cost,
    measured_seconds,
    power_of,
)
from lorabench.report.wording import benchmark_title, size_text
from lorabench.scoring.benchmark import RATING, scored_benchmark

# of the items, to show what another size would change
OTHER_SIZES = (0.5, 2)


def plan(run: Mapping[str, Any]) -> list[str]:
    """Return the lines of one run."""
    lines = [f"run {run['run']}: {run['fetch_model']['base']['name']}"]
    variants, total = len(run["score_benchmark"]["variants"]), 0.0
    for name in evaluated(run):
        items = item_count(run, name, Path("resources/benchmarks"))
        lines += ["", benchmark_title(name)]
        if items is None:
            lines.append("  items unknown before the benchmark has been fetched")
            continue
        margin, gain = run["gate"]["margins"].get(name), run["gate"]["improvements"].get(name)
        bound = margin if gain is None else None
        power = power_of(name, items, bound, run["gate"]["alpha"])
        lines += [f"  {text}" for text in describe_power(name, power, bound, gain)]
        for factor in OTHER_SIZES:
            other = power_of(name, max(1, round(items * factor)), bound, run["gate"]["alpha"])
            lines.append(f"  {describe_size(name, other)}")
        lines.append(f"  time: {time_text(run, name, items)}")
        cost = judge_cost(run, name, items) if "judge_" + name in run else None
        if cost is not None:
            total += cost * variants
            lines.append(f"  judge: about {cost:.2f} USD a variant")
    return [*lines, "", f"judges: about {total:.2f} USD for {variants} variants" if total else ""]


def units_of(name: str) -> str:
    """Return what is counted: items, or questions of two turns."""
    return "questions" if scored_benchmark(name).unit == RATING else "items"


def describe_power(name: str, power: Power, margin: float | None, gain: float | None) -> list[str]:
    """Return what the items can show and whether that is enough for the gate."""
    unit = scored_benchmark(name).unit
    lines = [
        f"{power.units:,} {units_of(name)}: a difference of"
        f" {size_text(power.smallest_detectable, unit)} or more is found in 80 % of cases (assumed:"
        f" {power.assumption})"
    ]
    if gain is not None:
        lines.append(
            f"gate asks for a gain above {size_text(gain, unit)}: a true gain that is"
            f" {size_text(power.smallest_detectable, unit)} larger is shown in 80 % of cases"
        )
    elif margin is None:
        lines.append("gate: no margin")
    elif power.chance_of_equal is not None:
        word = "enough" if power.chance_of_equal >= 0.8 else "not enough"
        lines.append(
            f"gate's margin {size_text(margin, unit)}: {word}; an equal adapter passes with"
            f" {power.chance_of_equal:.0%}, {power.units_for_margin:,} {units_of(name)} give 80 %"
        )
    return lines


def describe_size(name: str, power: Power) -> str:
    """Return what another number of items would change."""
    unit = scored_benchmark(name).unit
    passes = (
        ""
        if power.chance_of_equal is None
        else f", an equal adapter passes with {power.chance_of_equal:.0%}"
    )
    found = size_text(power.smallest_detectable, unit)
    return f"with {power.units:,} {units_of(name)}: {found}{passes}"


def time_text(run: Mapping[str, Any], name: str, items: int) -> str:
    """Return how long the answers to a benchmark take: as measured here, as predicted, or not."""
    variants = f"for {len(run['score_benchmark']['variants'])} variants"
    seconds = measured_seconds(Path("results") / run["run"] / "work", name)
    if seconds is not None:
        return f"{duration(seconds)} {variants}, as measured in the last run here"
    config = base_config(run)
    if config is None or not run["require_gpu"]:
        return "unknown, it has not been asked here yet"
    predicted = duration(predicted_seconds(run, name, items, config))
    return f"about {predicted} {variants} on an H100 or H200, {SOURCE}"


def main() -> None:
    """Parse the command line and print the plan of every run."""
    overlays = parser_of(__doc__).parse_args().configfile
    with errors_in_lines():
        runs = configured_runs(overlays)
        print("\n".join(line for run in runs.values() for line in plan(run)).rstrip())


if __name__ == "__main__":
    main()
