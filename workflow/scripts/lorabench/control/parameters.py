"""What jobs are told besides files: their part of the config, the hash of their code, their
environment."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lorabench.control.benchmarks import BENCHMARKS, ROOMS, benchmark_code
from lorabench.control.plan import FREE_SETTINGS, Plan, Wildcards, ordered
from lorabench.control.source_hash import code_hash

Settings = Callable[[Wildcards], dict[str, Any]]
Environment = str | Callable[[Wildcards], str]


class Parameters:
    """Functions of the wildcards, for the `params` and `conda` of rules."""

    def __init__(self, plan: Plan) -> None:
        self.runs = plan.runs
        self.scripts = plan.root / "workflow" / "scripts"
        self.environments = plan.root / "envs"

    def section(self, rule: str, *keys: str) -> Settings:
        """Return a function: the run's section of that rule without keys that change no result, or
        the named keys of it, as one sorted dict."""

        def settings(wildcards: Wildcards) -> dict[str, Any]:
            values = self.runs[wildcards.run][rule]
            free = FREE_SETTINGS.get(rule, ())
            chosen = {key: values[key] for key in keys or values if key not in free}
            sorted_values: dict[str, Any] = ordered(chosen)
            return sorted_values

        return settings

    def free_settings(self, rule: str) -> Callable[[Wildcards, Any], dict[str, Any]]:
        """Return a function: the keys of the section that change no result, so that a change of
        them reruns nothing.

        It takes `input`, because Snakemake records no parameter that follows from inputs.
        """

        def settings(wildcards: Wildcards, input: Any) -> dict[str, Any]:
            return {key: self.runs[wildcards.run][rule][key] for key in FREE_SETTINGS[rule]}

        return settings

    def benchmark_section(self, rule: str) -> Settings:
        """Return a function: the section without other benchmarks' keys; the own ones under
        `benchmark`."""

        def settings(wildcards: Wildcards) -> dict[str, Any]:
            values = self.runs[wildcards.run][rule]
            others = (*BENCHMARKS, "shards")
            common = {key: value for key, value in values.items() if key not in others}
            whole: dict[str, Any] = ordered(common | {"benchmark": values[wildcards.benchmark]})
            return whole

        return settings

    def engine(self, run: str, rule: str, benchmark: str) -> str:
        """Return what generates the texts of a benchmark."""
        settings = self.runs[run][rule]
        if rule == "generate_answers":
            return str(settings["engine"])
        return str(settings[benchmark].get("engine", "transformers"))

    def vllm_jobs(self, jobs: Iterable[Any]) -> set[tuple[str, str, str]]:
        """Return (run, rule, variant) of the jobs whose texts vLLM generates."""
        generating = [job for job in jobs if job.rule.name in ("evaluate_task", "generate_answers")]
        return {
            (job.wildcards.run, job.rule.name, job.wildcards.variant)
            for job in generating
            if self.engine(job.wildcards.run, job.rule.name, job.wildcards.benchmark) == "vllm"
        }

    def engine_environment(self, rule: str) -> Callable[[Wildcards], str]:
        """Return a function: the environment of what generates for a rule."""

        def environment(wildcards: Wildcards) -> str:
            engine = self.engine(wildcards.run, rule, wildcards.benchmark)
            return "vllm" if engine == "vllm" else "evaluation"

        return environment

    def conda_file(self, environment: Callable[[Wildcards], str]) -> Callable[[Wildcards], str]:
        """Return a function: the conda file of the environment that `environment` returns."""

        def file(wildcards: Wildcards) -> str:
            return str(self._file(environment, wildcards))

        return file

    def code(self, rule: str, environment: Environment) -> str | Callable[[Wildcards], str]:
        """Return the hash of the code behind a rule, or the function of the wildcards that does;
        see docs/reruns.md.

        Of the benchmarks' modules it holds those of the job's benchmark, or of all that its run
        scores.
        """
        script = self.scripts / f"{rule}.py"

        def hash_of(wildcards: Wildcards) -> str:
            file = self._file(environment, wildcards)
            if rule not in ROOMS:
                return code_hash(script, file)
            own = getattr(wildcards, "benchmark", None)
            scored = self.runs[wildcards.run]["score_benchmark"]["benchmarks"] if not own else [own]
            return benchmark_code(script, file, scored)

        if isinstance(environment, str) and rule not in ROOMS:
            return code_hash(script, self.environments / f"{environment}.yaml")
        return hash_of

    def _file(self, environment: Environment, wildcards: Wildcards) -> Path:
        name = environment if isinstance(environment, str) else environment(wildcards)
        return self.environments / f"{name}.yaml"
