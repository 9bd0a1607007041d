"""The files that the jobs of a run make, and those that they ask of each other.

Methods that take `wildcards` are functions of Snakemake's wildcards, so that rules name them
without a lambda; the others take names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorabench.control.benchmarks import BENCHMARKS, JUDGED, TASKS, exported_file
from lorabench.control.sources import Sources, Wildcards, any_of
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
# base and unmerged LoRA: one load of the weights, and the adapter goes onto them
TOGETHER = ("base", "lora")


@dataclass(frozen=True)
class Plan(Sources):
    """What the runs of a config make, besides what they start from."""

    # os.environ, for the keys of judges
    environment: Mapping[str, str]

    def adapter_of(self, wildcards: Wildcards) -> str | list[str]:
        """Return the adapter's fingerprint for a job with the variant that loads the adapter."""
        path = f"results/{wildcards.run}/adapter/fingerprint.json"
        return path if "lora" in wildcards.variants.split("-") else []

    def merged_of(self, wildcards: Wildcards) -> str | list[str]:
        """Return the merge report for a job with the merged checkpoint."""
        path = f"results/{wildcards.run}/merged/merge_report.json"
        return path if wildcards.variants == "merged" else []

    def shards(self, wildcards: Wildcards) -> list[str]:
        """Return the folders of the jobs that answer a benchmark with a variant, one a shard."""
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
