"""What jobs get besides files: their part of the config, their code's hash, their environment."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lorabench.control.benchmarks import ASKED, BENCHMARKS, ROOMS, benchmark_code
from lorabench.control.plan import Plan
from lorabench.control.source_hash import closure, code_hash, read_source
from lorabench.control.sources import Wildcards, ordered
from lorabench.files import sha256_json

Settings = Callable[[Wildcards], dict[str, Any]]
Environment = str | Callable[[Wildcards], str]
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
# The modules that decide what a model answers to a prompt. Where one of them changes, stored
# answers are not used again; all other code changes no answer.
ANSWERING = (
    "lorabench/adapter_loading.py",
    "lorabench/end_tokens.py",
    "lorabench/llama.py",
    "lorabench/variants.py",
    "lorabench/evaluation/chat_answers.py",
    "lorabench/evaluation/fixed_steps.py",
    "lorabench/evaluation/grouped_passes.py",
    "lorabench/evaluation/prefix_attention.py",
    "lorabench/evaluation/prefix_cache_lm.py",
    "lorabench/evaluation/sampling.py",
    "lorabench/evaluation/shared_prefix_model.py",
    "lorabench/evaluation/sharing.py",
    "lorabench/evaluation/stopping.py",
    "lorabench/evaluation/vllm_engine.py",
)


class Parameters:
    """Functions of the wildcards, for the `params` and `conda` of rules."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.runs = plan.runs
        self.scripts = plan.root / "workflow" / "scripts"
        self.environments = plan.root / "envs"

    def section(self, rule: str, *keys: str) -> Settings:
        """Return a function: the run's section, or `keys` of it, as one sorted dict."""

        def settings(wildcards: Wildcards) -> dict[str, Any]:
            values = self.runs[wildcards.run][rule]
            free = FREE_SETTINGS.get(rule, ())
            chosen = {key: values[key] for key in keys or values if key not in free}
            sorted_values: dict[str, Any] = ordered(chosen)
            return sorted_values

        return settings

    def free_settings(self, rule: str) -> Callable[[Wildcards, Any], dict[str, Any]]:
        """Return a function: the keys of the section that change no result.

        It takes `input`, because Snakemake does not record a parameter that follows from inputs.
        """

        def settings(wildcards: Wildcards, input: Any) -> dict[str, Any]:
            return {key: self.runs[wildcards.run][rule][key] for key in FREE_SETTINGS[rule]}

        return settings

    def trained_layers(self, wildcards: Any, input: Any) -> list[str]:
        """Return the layers that runs train adapters for on the job's model; not recorded."""
        trained = [run for run in self.runs.values() if run["import_adapter"]["path"] is None]
        return sorted(
            {
                layer
                for run in trained
                if run["fetch_model"]["base"]["name"] == wildcards.model
                for layer in run["train_adapter"]["target_modules"]
            }
        )

    def asked_section(self, rule: str) -> Settings:
        """Return a function: the section with the job's benchmarks under `benchmarks`."""

        def settings(wildcards: Wildcards) -> dict[str, Any]:
            values = self.runs[wildcards.run][rule]
            others = (*BENCHMARKS, "shards")
            common = {key: value for key, value in values.items() if key not in others}
            own = {name: values[name] for name in self.plan.asked(rule, wildcards)}
            whole: dict[str, Any] = ordered(common | {"benchmarks": own})
            return whole

        return settings

    def vllm_jobs(self, jobs: Iterable[Any]) -> set[tuple[str, str, str]]:
        """Return (run, rule, variant) of the jobs whose texts vLLM generates."""
        return {
            (job.wildcards.run, job.rule.name, job.wildcards.variants)
            for job in jobs
            if job.rule.name in ASKED and job.wildcards.engine == "vllm"
        }

    @staticmethod
    def engine_environment(wildcards: Wildcards) -> str:
        """Return the environment of what generates."""
        return "vllm" if wildcards.engine == "vllm" else "evaluation"

    def conda_file(self, environment: Callable[[Wildcards], str]) -> Callable[[Wildcards], str]:
        """Return a function: the conda file of the environment that `environment` returns."""

        def file(wildcards: Wildcards) -> str:
            return str(self._file(environment, wildcards))

        return file

    def code(self, rule: str, environment: Environment) -> str | Callable[[Wildcards], str]:
        """Return the hash of the code behind a rule, or a function that does; see docs/reruns.md.

        Of the benchmarks' modules it holds those of the job's benchmarks, or of all that its run
        scores.
        """
        script = self.scripts / f"{rule}.py"

        def hash_of(wildcards: Wildcards) -> str:
            file = self._file(environment, wildcards)
            if rule not in ROOMS:
                return code_hash(script, file)
            if rule in ASKED:
                names = self.plan.asked(rule, wildcards)
            elif own := getattr(wildcards, "benchmark", None):
                names = [own]
            else:
                names = self.runs[wildcards.run]["score_benchmark"]["benchmarks"]
            return benchmark_code(script, file, names)

        if isinstance(environment, str) and rule not in ROOMS:
            return code_hash(script, self.environments / f"{environment}.yaml")
        return hash_of

    def answer_store(self, rule: str) -> str:
        """Return the run's folder in the shared store, named after the code that answers."""
        behind = closure(self.scripts / f"{rule}.py")
        files = [name for name in ANSWERING if self.scripts / name in behind]
        texts = {name: read_source(self.scripts / name).text for name in files}
        return f"resources/answers/{sha256_json(texts)[:16]}/{{run}}"

    def _file(self, environment: Environment, wildcards: Wildcards) -> Path:
        name = environment if isinstance(environment, str) else environment(wildcards)
        return self.environments / f"{name}.yaml"
