"""Would another seed say the same? The spread over runs that differ in their seed only."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lorabench.files import read_json
from lorabench.report.gate_text import ANSWERS
from lorabench.report.run_comparison import Run
from lorabench.report.wording import score_text
from lorabench.scoring.benchmark import scored_benchmark

# metric, mean, standard deviation, least, largest
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """Runs of one recipe with several seeds."""

    seeds: list[int]
    rows: list[Row]
    # the gate's answer of each seed
    gates: list[str]

    @property
    def verdict(self) -> str:
        """Return whether the seeds agree."""
        each = ", ".join(
            f"seed {seed}: {answer}" for seed, answer in zip(self.seeds, self.gates, strict=True)
        )
        same = len(set(self.gates)) == 1
        return f"May it ship? {each}; the seeds {'agree' if same else 'do not agree'}."


def runs_of_seeds(configs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, int]]:
    """Return name -> seed of runs that differ in `train_adapter.seed` only, a group a recipe."""
    groups: list[tuple[dict[str, Any], dict[str, int]]] = []
    for name, config in configs.items():
        training = {**config["train_adapter"], "seed": None}
        recipe = {**config, "run": None, "sweep": None, "train_adapter": training}
        names = next((names for known, names in groups if known == recipe), None)
        if names is None:
            groups.append((recipe, names := {}))
        names[name] = config["train_adapter"]["seed"]
    return [names for _, names in groups if len(set(names.values())) > 1]


def seed_spread(runs: Sequence[Run], seeds: Sequence[int], folders: Sequence[Path]) -> SeedSpread:
    """Return the spread over runs of one recipe.

    Args:
        runs, seeds, folders: parallel lists, at least two runs.
    """
    rows = []
    for name in runs[0].scores:
        if all(name in run.scores for run in runs):
            values = [float(run.scores[name]["score"]) for run in runs]
            table = scored_benchmark(name)
            rows.append(_row(table.title, values, partial(score_text, unit=table.unit)))
    losses = [run.held_out_loss for run in runs if run.held_out_loss is not None]
    if len(losses) == len(runs):
        rows.append(_row("held-out loss", losses, "{:.3f} nat".format))
    files = [folder / "gate.json" for folder in folders]
    gates = [ANSWERS[read_json(file)["answer"]] if file.is_file() else "no gate" for file in files]
    return SeedSpread(seeds=list(seeds), rows=rows, gates=gates)


def seeds_text(spread: SeedSpread) -> str:
    """Return lines for a terminal."""
    lines = ["", f"{len(spread.seeds)} seeds of one recipe: would another seed say the same?"]
    for name, mean, deviation, least, largest in spread.rows:
        lines.append(f"   {name:<13} mean {mean}, SD {deviation}, {least} to {largest}")
    return "\n".join([*lines, f"   {spread.verdict}"])


def _row(
    name: str, values: Sequence[float], text: Callable[[float], str]
) -> tuple[str, str, str, str, str]:
    figures = (statistics.mean(values), statistics.stdev(values), min(values), max(values))
    mean, deviation, least, largest = map(text, figures)
    return name, mean, deviation, least, largest
