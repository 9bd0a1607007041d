"""Say before a run what its evaluation can show: `make plan`, `make plan CONFIG=config/demo.yaml`.

For the held-out loss and each benchmark: the items, the smallest difference that would be found,
whether they suffice for the gate's margin and how many would, how long the jobs took here before,
and what the judge will cost. Loads no model and asks nobody.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.control.base_model import base_config
from lorabench.control.command import configured_runs, errors_in_lines, parser_of
from lorabench.control.estimate import duration
from lorabench.control.evaluation_time import SOURCE, predicted_seconds
from lorabench.control.forecast import (
    evaluated,
    held_out_count,
    item_count,
    judge_cost,
    measured_seconds,
)
from lorabench.report.wording import benchmark_title, size_text
from lorabench.scoring.benchmark import RATING, scored_benchmark
from lorabench.scoring.power import Power, power_of
from lorabench.scoring.settings import HELD_OUT

# of the items, to show what another size would change
OTHER_SIZES = (0.5, 2)


def plan(run: Mapping[str, Any]) -> list[str]:
    """Return the lines of one run."""
    lines = [f"run {run['run']}: {run['fetch_model']['base']['name']}"]
    lines += ["", "Held-out loss", *evidence(run, HELD_OUT, held_out_count(run))]
    variants, total = len(run["score_benchmark"]["variants"]), 0.0
    for name in evaluated(run):
        items = item_count(run, name, Path("resources/benchmarks"))
        lines += ["", benchmark_title(name), *evidence(run, name, items)]
        if items is None:
            continue
        lines.append(f"  time: {time_text(run, name, items)}")
        cost = judge_cost(run, name, items) if "judge_" + name in run else None
        if cost is not None:
            total += cost * variants
            lines.append(f"  judge: about {cost:.2f} USD a variant")
    return [*lines, "", f"judges: about {total:.2f} USD for {variants} variants" if total else ""]


def evidence(run: Mapping[str, Any], name: str, units: int | None) -> list[str]:
    """Return what so many units of a benchmark, or of held-out conversations, can show."""
    if units is None:
        return ["  their number is unknown before the data have been fetched"]
    margin, gain = run["gate"]["margins"].get(name), run["gate"]["improvements"].get(name)
    threshold = -margin if gain is None and margin is not None else gain
    power = power_of(name, units, threshold, run["gate"]["alpha"])
    lines = describe_power(name, power, threshold)
    for factor in OTHER_SIZES:
        other = power_of(name, max(1, round(units * factor)), threshold, run["gate"]["alpha"])
        lines.append(describe_size(name, other))
    return [f"  {line}" for line in lines]


def unit_of(name: str) -> str | None:
    """Return the unit of a difference; None = nat."""
    return None if name == HELD_OUT else scored_benchmark(name).unit


def units_of(name: str) -> str:
    """Return what is counted: items, questions of two turns, or conversations."""
    if name == HELD_OUT:
        return "conversations"
    return "questions" if unit_of(name) == RATING else "items"


def describe_power(name: str, power: Power, threshold: float | None) -> list[str]:
    """Return what the units can show and whether that is enough for the gate.

    Args:
        name: a benchmark, or the held-out loss.
        power: of its units.
        threshold: what the gate asks the gain to exceed, None = nothing.
    """
    lines = [f"{power.units:,} {units_of(name)}: {found_text(name, power)}"]
    lines.append(f"assumed: {power.assumption}")
    if threshold is None:
        lines.append("gate: no margin")
    elif power.chance_of_equal is None:
        asked, passing = gain_text(name, threshold), gain_text(name, power.passing_gain)
        lines.append(f"gate asks for a gain above {asked}: a true gain of {passing} passes in 80 %")
    else:
        word = "enough" if power.chance_of_equal >= 0.8 else "not enough"
        needed = f"{power.units_for_margin:,}" if power.units_for_margin else "more than a million"
        lines.append(
            f"gate's margin {gain_text(name, -threshold)}: {word}; an equal adapter passes with"
            f" {power.chance_of_equal:.0%}, about {needed} {units_of(name)} give 80 %"
        )
    return lines


def found_text(name: str, power: Power) -> str:
    """Return the difference that the report's test finds."""
    found = gain_text(name, power.smallest_detectable)
    if power.smallest_detectable is None:
        return f"{found}, is found in 80 % of cases"
    return f"a difference of {found} or more is found in 80 % of cases"


def gain_text(name: str, gain: float | None) -> str:
    """Return a difference in its unit; None = none is large enough."""
    if gain is None:
        return "no difference, however large"
    unit = unit_of(name)
    return f"{gain:.3f} nat" if unit is None else size_text(gain, unit)


def describe_size(name: str, power: Power) -> str:
    """Return what another number of units would change."""
    passes = (
        ""
        if power.chance_of_equal is None
        else f", an equal adapter passes with {power.chance_of_equal:.0%}"
    )
    found = gain_text(name, power.smallest_detectable)
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
