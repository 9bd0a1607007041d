"""What the rules ask: which files a run starts from and makes, and what its jobs get.

Methods that take `wildcards` are functions of Snakemake's wildcards, so that rules name them
without a lambda; the others take names.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lorabench.control.benchmarks import (
    ASKED,
    BENCHMARKS,
    JUDGED,
    TASKS,
    exported_file,
    read_task_file,
    sample_files,
)
from lorabench.control.configuration import source, source_label
from lorabench.files import read_json, sha256_file
from lorabench.judging.availability import judge_available

# what training and importing write
TRAINED_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "training_record.json",
    "fingerprint.json",
)
# what others get
ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "run_config.json",
    "train_metrics.json",
    "README.md",
    "LICENSE",
    "NOTICE",
)
EXPORTED_ITEMS = {benchmark: exported_file(benchmark) for benchmark in BENCHMARKS}
REPORT_FILES = (
    *("report.json", "eval_results.json", "report.md", "report.html", "items.html"),
    *("perf_results.json", "perf_base.json", "perf_lora.json", "perf_merged.json"),
    *EXPORTED_ITEMS.values(),
)
# by section: the keys that change no result
FREE_SETTINGS: dict[str, Sequence[str]] = {"train_adapter": ("save_minutes", "tracker")}
# of measure_inference: the keys that what is timed depends on; the others are the summary's
TIMED_SETTINGS = (
    "variants",
    "dtype",
    "prompts",
    "new_tokens",
    "repeats",
    "warmup",
    "load",
    "server",
)
# base and unmerged LoRA: one load of the weights, and the adapter goes onto them
TOGETHER = ("base", "lora")


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
class Plan:
    """The runs of a config, in a checkout of the project."""

    # run name -> whole config; the main run first
    runs: Mapping[str, Mapping[str, Any]]
    # of the checkout
    root: Path
    # os.environ, for the keys of judges
    environment: Mapping[str, str]

    @property
    def main(self) -> str:
        """Name of the run that is exported."""
        return next(iter(self.runs))

    # What a run starts from.

    def shipped(self, name: str) -> str:
        """Return the path of a file in workflow/resources, relative to the working folder."""
        return os.path.relpath(self.root / "workflow" / "resources" / name)

    def benchmark_samples(self, benchmark: str) -> list[str]:
        """Return the project's own items of a benchmark."""
        folder = self.root / "workflow" / "resources" / "samples"
        return [os.path.relpath(file) for file in sample_files(folder, benchmark)]

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

    # What a run makes.

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

    def adapter_of(self, wildcards: Wildcards) -> str | list[str]:
        """Return the adapter's fingerprint for a job with the variant that loads the adapter."""
        path = f"results/{wildcards.run}/adapter/fingerprint.json"
        return path if "lora" in wildcards.variants.split("-") else []

    def merged_of(self, wildcards: Wildcards) -> str | list[str]:
        """Return the merge report for a job with the merged checkpoint."""
        path = f"results/{wildcards.run}/merged/merge_report.json"
        return path if wildcards.variants == "merged" else []

    def shards(self, wildcards: Wildcards) -> list[str]:
        """Return the folders that jobs fill with answers, a variant's to a benchmark among them; a
        folder a shard."""
        run, variant, benchmark = wildcards.run, wildcards.variant, wildcards.benchmark
        rule = "evaluate_task" if benchmark in TASKS else "generate_answers"
        engine, count = self.engine(run, rule, benchmark), self.runs[run][rule]["shards"]
        scored = self.runs[run]["score_benchmark"]["variants"]
        if engine != "vllm" and variant in TOGETHER and {*TOGETHER} <= {*scored}:
            variant = "-".join(TOGETHER)
        folder = f"results/{run}/work/{rule}/{engine}"
        return [f"{folder}/{variant}.{shard}-of-{count}" for shard in range(count)]

    def shard_files(self, wildcards: Wildcards, suffix: str) -> list[str]:
        """Return the files of one variant and benchmark in the folders of `shards`."""
        name = f"{wildcards.variant}/{wildcards.benchmark}.{suffix}"
        return [f"{folder}/{name}" for folder in self.shards(wildcards)]

    def results_of(self, wildcards: Wildcards, suffix: str) -> list[str]:
        """Return the results that a score is made of; [] where no judge can or did judge."""
        run, variant, benchmark = wildcards.run, wildcards.variant, wildcards.benchmark
        if benchmark not in JUDGED:
            return self.shard_files(wildcards, suffix)
        judged = self.why_not_judged(run, benchmark) is None or self.judged_before(
            run, variant, benchmark
        )
        return [f"results/{run}/judgments/{variant}/{benchmark}.{suffix}"] if judged else []

    def made_by_jobs(self, wildcards: Wildcards) -> list[str]:
        """Return what jobs make of `results_of`: the folders of tasks, the files of judgments."""
        if wildcards.benchmark not in JUDGED:
            return self.shards(wildcards)
        return [*self.results_of(wildcards, "jsonl"), *self.results_of(wildcards, "json")]

    def answers_of(self, wildcards: Wildcards, suffix: str) -> str | list[str]:
        """Return the answers that a judged score speaks of, or how they were made."""
        if wildcards.benchmark not in JUDGED:
            return []
        folder = f"results/{wildcards.run}/answers/{wildcards.variant}"
        return f"{folder}/{wildcards.benchmark}.{suffix}"

    def length_control_of(self, wildcards: Wildcards) -> str | list[str]:
        """Return the configured regulariser of a length-controlled win rate, [] without one."""
        file: str | None = self.runs[wildcards.run]["score_benchmark"]["length_control_file"]
        if file is None:
            return []
        # it imports SciPy, which every start of Snakemake would wait for
        from lorabench.scoring.benchmark import scored_benchmark

        return file if scored_benchmark(wildcards.benchmark).length_control else []

    def scores(self, run: str, suffix: str = "json") -> list[str]:
        """Return the score files (or row files) of a run."""
        return [
            f"results/{run}/eval/{variant}/{benchmark}.{suffix}"
            for variant, benchmark in self._scored(run)
        ]

    def answers(self, run: str) -> list[str]:
        """Return the answers to judged benchmarks of a run."""
        return [
            f"results/{run}/answers/{variant}/{benchmark}.jsonl"
            for variant, benchmark in self._scored(run)
            if benchmark in JUDGED
        ]

    def _scored(self, run: str) -> list[tuple[str, str]]:
        settings = self.runs[run]["score_benchmark"]
        return [
            (variant, benchmark)
            for variant in settings["variants"]
            for benchmark in settings["benchmarks"]
        ]

    def measurements(self, run: str, suffix: str = "json") -> list[str]:
        """Return the inference measurements (or raw token times) of a run."""
        variants = self.runs[run]["measure_inference"]["variants"]
        return [f"results/{run}/perf/{variant}.{suffix}" for variant in variants]

    def adapter_export(self) -> str:
        """Return the folder under which users know the main run's adapter."""
        folder: str | None = self.runs[self.main]["export_adapter"]["folder"]
        return folder or f"artifacts/lora-{self.main}"

    # Whether a judge can be asked now, and whether it was asked before.

    def why_not_judged(self, run: str, benchmark: str) -> str | None:
        """Return why the judge of a benchmark cannot be asked now, or None."""
        return judge_available(self.runs[run][JUDGED[benchmark]]["judge"], self.environment)

    def judged_before(self, run: str, variant: str, benchmark: str) -> bool:
        """Return whether the configured judge has already judged these very answers."""
        protocol = Path(f"results/{run}/judgments/{variant}/{benchmark}.json")
        answers = Path(f"results/{run}/answers/{variant}/{benchmark}.jsonl")
        judge = self.runs[run][JUDGED[benchmark]]["judge"]
        if not (protocol.is_file() and answers.is_file()):
            return False
        made = read_json(protocol)
        asked = (made["judge"]["kind"], made["judge"]["model"])
        same_answers: bool = made["answers_sha256"] == sha256_file(answers)
        return same_answers and asked == (judge["kind"], judge["model"])

    def judgeable_runs(self, benchmark: str) -> str:
        """Return a pattern of the runs whose judge can be asked; others keep their judgments."""
        return any_of(run for run in self.runs if self.why_not_judged(run, benchmark) is None)

    def not_run_reason(self, wildcards: Wildcards) -> str | None:
        """Return why a judged score stays without judgments, or None."""
        if self.results_of(wildcards, "jsonl"):
            return None
        return self.why_not_judged(wildcards.run, wildcards.benchmark)
