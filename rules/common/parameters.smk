# What scripts are told: their part of the config, the hash of their code, their environment.

from lorabench.training.settings import FREE_SETTINGS as FREE_TRAINING_SETTINGS

# by section: the keys that change no result
FREE_SETTINGS = {"train_adapter": FREE_TRAINING_SETTINGS}
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


def ordered(value):
    """Return the value with mappings sorted by key: Snakemake compares parameters by their text."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return value


def section(rule, *keys):
    """Return a params function: the run's section of that rule, or the named keys of it, as one sorted dict."""

    def settings(wildcards):
        values = RUNS[wildcards.run][rule]
        return ordered(
            {key: values[key] for key in keys or values if key not in FREE_SETTINGS.get(rule, ())}
        )

    return settings


def free_settings(rule):
    """Return a params function: the keys of the section that change no result, so that a change of them reruns nothing.

    It takes `input`, because Snakemake records no parameter that follows from inputs.
    """

    def settings(wildcards, input):
        return {key: RUNS[wildcards.run][rule][key] for key in FREE_SETTINGS[rule]}

    return settings


def benchmark_section(rule):
    """Return a params function: the section without other benchmarks' keys; the own ones under `benchmark`."""

    def settings(wildcards):
        values = RUNS[wildcards.run][rule]
        common = {key: value for key, value in values.items() if key not in (*BENCHMARKS, "shards")}
        return ordered(common | {"benchmark": values[wildcards.benchmark]})

    return settings


def engine(run, rule, benchmark):
    """Return what generates the texts of a benchmark."""
    settings = RUNS[run][rule]
    return (
        settings["engine"]
        if rule == "generate_answers"
        else settings[benchmark].get("engine", "transformers")
    )


def vllm_jobs(jobs):
    """Return (run, rule, variant) of the jobs whose texts vLLM generates."""
    generating = [job for job in jobs if job.rule.name in ("evaluate_task", "generate_answers")]
    return {
        (job.wildcards.run, job.rule.name, job.wildcards.variant)
        for job in generating
        if engine(job.wildcards.run, job.rule.name, job.wildcards.benchmark) == "vllm"
    }


def engine_environment(rule):
    """Return a function of the wildcards: the environment of what generates for a rule."""
    return lambda wildcards: (
        "vllm" if engine(wildcards.run, rule, wildcards.benchmark) == "vllm" else "evaluation"
    )


def conda_file(environment):
    """Return a function of the wildcards: the conda file of the environment that `environment` returns for them."""
    return lambda wildcards: str(ROOT / "envs" / f"{environment(wildcards)}.yaml")


def code(rule, environment):
    """Return the hash of the code behind a rule, or the function of the wildcards that does; see docs/reruns.md.

    Of the benchmarks' modules it holds those of the job's benchmark, or of all that its run scores.
    """

    def hash_of(wildcards):
        name = environment(wildcards) if callable(environment) else environment
        file = ROOT / "envs" / f"{name}.yaml"
        if rule not in ROOMS:
            return code_hash(SCRIPTS / f"{rule}.py", file)
        own = getattr(wildcards, "benchmark", None)
        benchmarks = [own] if own else RUNS[wildcards.run]["score_benchmark"]["benchmarks"]
        return benchmark_code(SCRIPTS / f"{rule}.py", file, benchmarks)

    return hash_of if callable(environment) or rule in ROOMS else hash_of(None)
