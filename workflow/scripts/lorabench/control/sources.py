"""What the runs of a config start from, and which benchmarks their jobs ask.

Methods that take `wildcards` are functions of Snakemake's wildcards, so that rules name them
without a lambda; the others take names.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lorabench.control.benchmarks import ASKED, JUDGED, read_task_file, sample_files
from lorabench.control.configuration import source, source_label


class Wildcards(Protocol):
    """Those of Snakemake; a job has the ones of its rule."""

    run: str
    variant: str
    # of jobs that answer: one variant, or "base-lora"
    variants: str
    engine: str
    benchmark: str


def ordered(value: Any) -> Any:
    """Return the value with mappings sorted by key: Snakemake compares parameters by their text."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return value


def any_of(names: Iterable[str]) -> str:
    """Return a wildcard pattern of these names and no others; `names` may be empty."""
    return "|".join(map(re.escape, names)) or "(?!)"


@dataclass(frozen=True)
class Sources:
    """The runs of a config, in a checkout of the project."""

    # run name -> whole config; the main run first
    runs: Mapping[str, Mapping[str, Any]]
    # of the checkout
    root: Path

    @property
    def main(self) -> str:
        """Name of the run that is exported."""
        return next(iter(self.runs))

    def shipped(self, name: str) -> str:
        """Return the path of a file in workflow/resources, relative to the working folder."""
        return os.path.relpath(self.root / "workflow" / "resources" / name)

    def benchmark_samples(self, benchmark: str) -> list[str]:
        """Return the project's own items of a benchmark."""
        folder = self.root / "workflow" / "resources" / "samples"
        return [os.path.relpath(file) for file in sample_files(folder, benchmark)]

    def engine(self, run: str, rule: str, benchmark: str) -> str:
        """Return what generates the texts of a benchmark."""
        settings = self.runs[run][rule]
        whole = settings.get("engine", "transformers")
        return str(settings[benchmark].get("engine", whole))

    def asked(self, rule: str, wildcards: Wildcards) -> list[str]:
        """Return the benchmarks that one job of `rule` asks: all of the run's with its engine."""
        run = wildcards.run
        scored = self.runs[run]["score_benchmark"]["benchmarks"]
        return [
            name
            for name in ASKED[rule]
            if name in scored and self.engine(run, rule, name) == wildcards.engine
        ]

    def benchmarks_of(self, rule: str) -> Callable[[Wildcards], list[str]]:
        """Return a function: the source.json files of the benchmarks of a job."""
        return lambda wildcards: [
            self.benchmark_source(wildcards.run, name) for name in self.asked(rule, wildcards)
        ]

    def task_files(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return benchmark -> content of the task file that its settings name, for a job.

        Raises:
            ConfigurationError: there is no such file, or it is no plain YAML mapping.
        """
        folder = self.root / "workflow" / "resources" / "tasks"
        section = self.runs[wildcards.run]["evaluate_task"]
        names = self.asked("evaluate_task", wildcards)
        contents: dict[str, Any] = ordered(
            {name: read_task_file(folder, section[name]) for name in names}
        )
        return contents

    def models(self) -> dict[str, dict[str, Any]]:
        """Return model name -> source over all runs."""
        entries = [
            model for run in self.runs.values() for model in run["fetch_model"].values() if model
        ]
        return {model["name"]: ordered(source(model)) for model in entries}

    def labelled(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return label -> source over all runs, for "conversations" or one benchmark."""
        entries = [
            run["fetch_conversations"] if kind == "conversations" else run["fetch_benchmark"][kind]
            for run in self.runs.values()
        ]
        return {source_label(entry): ordered(source(entry)) for entry in entries}

    def base_model(self, wildcards: Wildcards) -> str:
        """Return the source.json of the run's base model."""
        return self.base_model_of(wildcards.run)

    def base_model_of(self, run: str) -> str:
        """Return the source.json of the base model of a run."""
        return f"resources/models/{self.runs[run]['fetch_model']['base']['name']}/source.json"

    def shipped_licence(self, wildcards: Wildcards) -> str:
        """Return the licence file in the folder of the variant that would ship."""
        variant = self.runs[wildcards.run]["gate"]["variant"]
        folder = {"merged": "merged", "lora": "adapter"}[variant]
        return f"results/{wildcards.run}/{folder}/LICENSE"

    def judge_model(self, benchmark: str) -> Callable[[Wildcards], str | list[str]]:
        """Return a function: the source.json of a local judge's model, [] for other judges."""

        def model(wildcards: Wildcards) -> str | list[str]:
            run = self.runs[wildcards.run]
            if run[JUDGED[benchmark]]["judge"]["kind"] != "local":
                return []
            name = (run["fetch_model"]["judge"] or run["fetch_model"]["base"])["name"]
            return f"resources/models/{name}/source.json"

        return model

    def conversations(self, wildcards: Wildcards, name: str) -> str:
        """Return a file of the run's conversation source."""
        label = source_label(self.runs[wildcards.run]["fetch_conversations"])
        return f"resources/conversations/{label}/{name}"

    def benchmark_source(self, run: str, benchmark: str) -> str:
        """Return the source.json of one benchmark of a run."""
        label = source_label(self.runs[run]["fetch_benchmark"][benchmark])
        return f"resources/benchmarks/{benchmark}/{label}/source.json"

    def benchmark_sources(self, run: str) -> list[str]:
        """Return the source.json files of all benchmarks that a run scores."""
        benchmarks = self.runs[run]["score_benchmark"]["benchmarks"]
        return [self.benchmark_source(run, benchmark) for benchmark in benchmarks]

    def imported(self, run: str) -> str | None:
        """Return the folder of the adapter that the run imports, None where it trains one."""
        folder: str | None = self.runs[run]["import_adapter"]["path"]
        return folder

    def training_runs(self) -> str:
        """Return a wildcard pattern of the runs that train their adapter."""
        return any_of(run for run in self.runs if self.imported(run) is None)

    def importing_runs(self) -> str:
        """Return a wildcard pattern of the runs that import their adapter."""
        return any_of(run for run in self.runs if self.imported(run) is not None)
