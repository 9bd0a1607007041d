import os
import subprocess
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

ROOT = Path(str(workflow.current_basedir)).resolve().parent
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from lorabench.configuration import resolve, source, source_label
from lorabench.errors import LorabenchError
from lorabench.files import read_json, sha256_file
from lorabench.judging.availability import judge_available
from lorabench.judging.preflight import check_judges
from lorabench.preflight import check
from lorabench.source_hash import code_hash
from lorabench.training.memory_model import GLIBC_TUNABLES

# Read by Python, cuBLAS, tokenizers and the C library at their own start: this tree's package before any installed copy,
# the same bits for the same work, and less memory.
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")])),
    PYTHONHASHSEED="0",
    CUBLAS_WORKSPACE_CONFIG=":4096:8",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_DISABLE_TELEMETRY="1",
    GLIBC_TUNABLES=os.environ.get("GLIBC_TUNABLES", GLIBC_TUNABLES),
)

BENCHMARKS = ("gsm8k", "mmlu", "mt_bench", "alpaca_eval")
JUDGED = {"mt_bench": "judge_mt_bench", "alpaca_eval": "judge_alpaca_eval"}


def stop(error):
    """End Snakemake with the message alone: no traceback, exit code 2 (wrong usage or configuration)."""
    print(f"lorabench: {error}", file=sys.stderr)
    sys.exit(2)


def read_runs():
    """Return run name -> config for the run and its sweep."""
    overlays = [str(file) for file in workflow.overwrite_configfiles]
    defaults = [str(file) for file in workflow.configfiles if str(file) not in overlays]
    files = [Path(os.path.relpath(file)) for file in (*defaults, *overlays)]  # what wins comes last
    try:
        return resolve(config, ROOT / "config" / "schema.yaml", files, os.environ)
    except LorabenchError as error:
        stop(error)


RUNS = read_runs()
MAIN_RUN = config["run"]


def check_before_start():
    """Stop before the first job where something that the scheduled jobs need is missing; all faults at once.

    Remote judges of scheduled jobs are asked one tiny question each, so that a retired model costs no GPU hour.
    Where jobs are only declared done (--touch) nothing is needed.
    """
    if workflow.touch:
        return
    jobs = [job for job in workflow.persistence.dag.needrun_jobs() if not job.is_norun]
    rules = {job.rule.name for job in jobs}
    try:
        check(
            RUNS,
            rules,
            vllm=vllm_jobs(jobs),
            with_conda=DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method,
            local=workflow.local_exec,
            environment=os.environ,
        )
        judging = sorted({(job.wildcards.run, job.rule.name) for job in jobs if job.rule.name in JUDGED.values()})
        sections = [(name, RUNS[run][name]) for run, name in judging]
        for line in check_judges(sections, local=workflow.local_exec):
            print(f"lorabench: {line}", file=sys.stderr)
    except LorabenchError as error:
        stop(error)


<<<<<<< HEAD
include: "common/parameters.smk"
include: "common/sources.smk"
include: "common/judgments.smk"
include: "common/results.smk"
include: "common/resources.smk"
=======
def ordered(value):
    """Return the value with mappings sorted by key: Snakemake compares parameters by their text."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return value


def section(rule, *keys):
    """Return a params function: the run's section of that rule, or the named keys of it, as one sorted dict."""

    def settings(wildcards):
        values = RUNS[wildcards.run][rule]
        return ordered({key: values[key] for key in keys or values if key not in FREE_SETTINGS.get(rule, ())})

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
    return settings["engine"] if rule == "generate_answers" else settings[benchmark].get("engine", "transformers")


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
    return lambda wildcards: ("vllm" if engine(wildcards.run, rule, wildcards.benchmark) == "vllm" else "evaluation")


def conda_file(environment):
    """Return a function of the wildcards: the conda file of the environment that `environment` returns for them."""
    return lambda wildcards: str(ROOT / "envs" / f"{environment(wildcards)}.yaml")


def code(rule, environment):
    """Return the hash of the code behind a rule, or the function of the wildcards that does; see docs/reruns.md."""
    if callable(environment):
        return lambda wildcards: code(rule, environment(wildcards))
    return code_hash(SCRIPTS / f"{rule}.py", ROOT / "envs" / f"{environment}.yaml")


def shipped(name):
    """Return the path of a file in workflow/resources, relative to the working folder."""
    return os.path.relpath(ROOT / "workflow" / "resources" / name)


def benchmark_samples(benchmark):
    """Return the project's own items of a benchmark."""
    names = {
        "gsm8k": ("gsm8k_train.jsonl", "gsm8k_test.jsonl"),
        "mmlu": tuple(f"mmlu/{file.name}" for file in sorted((ROOT / "workflow/resources/samples/mmlu").glob("*.csv"))),
        "mt_bench": ("mt_bench_question.jsonl", "mt_bench_reference.jsonl", "mt_bench_judge_prompts.jsonl"),
        "alpaca_eval": ("alpaca_eval_instructions.json", "alpaca_eval_judge_prompt.txt"),
    }
    return [shipped(f"samples/{name}") for name in names[benchmark]]


def task_files():
    """Return the lm-evaluation-harness task files."""
    folder = ROOT / "workflow" / "resources" / "tasks"
    return [shipped(f"tasks/{file.name}") for file in sorted(folder.iterdir())]


def local_files(entry):
    """Return the files of a `path` source, so that an edit of them reruns the fetch."""
    if entry["kind"] != "path":
        return []
    path = Path(entry["path"])
    if path.is_dir():
        return sorted(str(file) for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return [str(path)]


def models():
    """Return model name -> source over all runs."""
    entries = [model for run in RUNS.values() for model in run["fetch_model"].values() if model]
    return {model["name"]: ordered(source(model)) for model in entries}


def labelled(kind):
    """Return label -> source over all runs, for `fetch_conversations` or one benchmark of `fetch_benchmark`."""
    entries = [
        run["fetch_conversations"] if kind == "conversations" else run["fetch_benchmark"][kind] for run in RUNS.values()
    ]
    return {source_label(entry): ordered(source(entry)) for entry in entries}


def base_model(wildcards):
    """Return the source.json of the run's base model."""
    return f"resources/models/{RUNS[wildcards.run]['fetch_model']['base']['name']}/source.json"


def judge_model(wildcards):
    """Return the source.json of a local judge's model, nothing for other judges."""
    run = RUNS[wildcards.run]
    if run[JUDGED[wildcards.benchmark]]["judge"]["kind"] != "local":
        return []
    return f"resources/models/{(run['fetch_model']['judge'] or run['fetch_model']['base'])['name']}/source.json"


def conversations(wildcards, name):
    """Return a file of the run's conversation source."""
    return f"resources/conversations/{source_label(RUNS[wildcards.run]['fetch_conversations'])}/{name}"


def benchmark_source(run, benchmark):
    """Return the source.json of one benchmark of a run."""
    return f"resources/benchmarks/{benchmark}/{source_label(RUNS[run]['fetch_benchmark'][benchmark])}/source.json"


def benchmark_sources(run):
    """Return the source.json files of all benchmarks that a run scores."""
    return [benchmark_source(run, benchmark) for benchmark in RUNS[run]["score_benchmark"]["benchmarks"]]


def adapter_of(wildcards):
    """Return the adapter's fingerprint for the variant that loads the adapter."""
    return f"results/{wildcards.run}/adapter/fingerprint.json" if wildcards.variant == "lora" else []


def merged_of(wildcards):
    """Return the merge report for the variant that loads the merged checkpoint."""
    return f"results/{wildcards.run}/merged/merge_report.json" if wildcards.variant == "merged" else []


def shards(wildcards, rule, suffix):
    """Return the shard files of a benchmark that `rule` makes."""
    count = RUNS[wildcards.run][rule]["shards"]
    folder = {"evaluate_task": "eval", "generate_answers": "answers"}[rule]
    stem = f"results/{wildcards.run}/work/{folder}/{wildcards.variant}/{wildcards.benchmark}"
    return [f"{stem}.{shard}-of-{count}.{suffix}" for shard in range(count)]


def why_not_judged(run, benchmark):
    """Return why the judge of a benchmark cannot be asked now, or None."""
    return judge_available(RUNS[run][JUDGED[benchmark]]["judge"], os.environ)


def judged_before(run, variant, benchmark):
    """Return whether judgments of these very answers lie there that the configured judge made, in a call with its key."""
    protocol = Path(f"results/{run}/judgments/{variant}/{benchmark}.json")
    answers = Path(f"results/{run}/answers/{variant}/{benchmark}.jsonl")
    judge = RUNS[run][JUDGED[benchmark]]["judge"]
    if not (protocol.is_file() and answers.is_file()):
        return False
    made = read_json(protocol)
    same_judge = (made["judge"]["kind"], made["judge"]["model"]) == (judge["kind"], judge["model"])
    return same_judge and made["answers_sha256"] == sha256_file(answers)


def judgeable_runs(benchmark):
    """Return a wildcard pattern of the runs whose judge can be asked; for the others a judgment is whatever lies there."""
    return "|".join(run for run in RUNS if why_not_judged(run, benchmark) is None) or "(?!)"


def results_of(wildcards, suffix):
    """Return the per-item results that a score is made of; nothing where a judge cannot be asked and never was."""
    if wildcards.benchmark not in JUDGED:
        return shards(wildcards, "evaluate_task", suffix)
    path = f"results/{wildcards.run}/judgments/{wildcards.variant}/{wildcards.benchmark}.{suffix}"
    can_judge = why_not_judged(wildcards.run, wildcards.benchmark) is None
    return [path] if can_judge or judged_before(wildcards.run, wildcards.variant, wildcards.benchmark) else []


def answers_of(wildcards, suffix):
    """Return the answers that a judged score speaks of, or how they were made."""
    if wildcards.benchmark not in JUDGED:
        return []
    return f"results/{wildcards.run}/answers/{wildcards.variant}/{wildcards.benchmark}.{suffix}"


def length_control_of(wildcards):
    """Return AlpacaEval's regulariser of the length-controlled win rate where the config names it."""
    if wildcards.benchmark != "alpaca_eval":
        return []
    return RUNS[wildcards.run]["score_benchmark"]["length_control_file"] or []


def not_run_reason(wildcards):
    """Return why a judged score stays without judgments, or None."""
    if results_of(wildcards, "jsonl"):
        return None
    return why_not_judged(wildcards.run, wildcards.benchmark)


def scores(run, suffix="json"):
    """Return the score files (or row files) of a run."""
    settings = RUNS[run]["score_benchmark"]
    return [
        f"results/{run}/eval/{variant}/{benchmark}.{suffix}"
        for variant in settings["variants"]
        for benchmark in settings["benchmarks"]
    ]


def answers(run):
    """Return the answers to judged benchmarks of a run."""
    settings = RUNS[run]["score_benchmark"]
    return [
        f"results/{run}/answers/{variant}/{benchmark}.jsonl"
        for variant in settings["variants"]
        for benchmark in settings["benchmarks"]
        if benchmark in JUDGED
    ]


def measurements(run, suffix="json"):
    """Return the inference measurements (or raw token times) of a run."""
    return [f"results/{run}/perf/{variant}.{suffix}" for variant in RUNS[run]["measure_inference"]["variants"]]


def gpus():
    """Return the GPUs that a job with the model asks for."""
    return int(any(run["require_gpu"] for run in RUNS.values()))


def training_gpus():
    """Return the GPUs that training asks for, a process each: all that the profile offers."""
    offered = workflow.global_resources.get("gpu")
    return gpus() * ((offered and offered.value) or 1)


def half_the_cores():
    """Return threads for jobs of which two run side by side on one machine."""
    return max(1, (workflow.cores or 16) // 2)


def all_cores():
    """Return threads for a job that has the machine to itself."""
    return min(workflow.cores or 8, 16)


def commit():
    """Return the short hash of the checked-out commit, "uncommitted" outside a repository."""
    answer = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "uncommitted"


ADAPTER_EXPORT = RUNS[MAIN_RUN]["export_adapter"]["folder"] or f"artifacts/lora-{MAIN_RUN}"
REPORT_EXPORT = f"reports/bench/{commit()}"
>>>>>>> vllm


wildcard_constraints:
    run="|".join(RUNS),
    variant="base|lora|merged",
    benchmark="|".join(BENCHMARKS),
    shard=r"\d+",
    shards=r"\d+",
