import subprocess

from snakemake.settings.types import DeploymentMethod

from lorabench.control.benchmarks import BENCHMARKS, JUDGED, TASKS
from lorabench.control.cluster import check_cluster, keep_asking, memory_mb
from lorabench.control.configuration import resolve
from lorabench.control.inputs import checkpoint_inputs, folder_inputs, local_files
from lorabench.control.memory_model import GLIBC_TUNABLES
from lorabench.control.parameters import TIMED_SETTINGS, Parameters
from lorabench.control.plan import ADAPTER_FILES, EXPORTED_ITEMS, REPORT_FILES, TRAINED_FILES, Plan
from lorabench.control.scheduled import check_scheduled
from lorabench.control.sources import any_of
from lorabench.errors import LorabenchError

# Read by Python, cuBLAS, tokenizers and the C library at their own start: this tree's package before any installed copy,
# the same bits for the same work, and less memory.
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")])),
    PYTHONHASHSEED="0",
    CUBLAS_WORKSPACE_CONFIG=":4096:8",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_DISABLE_TELEMETRY="1",
    GLIBC_TUNABLES=os.environ.get("GLIBC_TUNABLES", GLIBC_TUNABLES),
    # PyTorch's blocks of GPU memory can grow, so that rows of different lengths leave no gaps
    PYTORCH_CUDA_ALLOC_CONF=os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
)


def or_stop(function, *arguments, **options):
    """Return what the function returns; its error ends Snakemake with one line."""
    try:
        return function(*arguments, **options)
    except LorabenchError as error:
        stop(error)


RUNS = or_stop(resolve, config, config_files(), os.environ)
MAIN_RUN = next(iter(RUNS))
plan = Plan(RUNS, ROOT, os.environ)
parameters = Parameters(plan)


def check_before_start():
    """Stop before the first job where something that the scheduled jobs need is missing.

    Where jobs are only declared done (--touch) nothing is needed.
    """
    if workflow.is_main_process:
        signal.signal(signal.SIGINT, note_interrupt)
        # a closed terminal; nohup has it ignored, and it stays so
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, note_interrupt)
    if workflow.touch:
        return
    jobs = [job for job in workflow.persistence.dag.needrun_jobs() if not job.is_norun]
    methods = workflow.deployment_settings.deployment_method
    with_conda = DeploymentMethod.CONDA in methods
    local = workflow.local_exec
    if not local:
        or_stop(check_cluster)
        keep_asking(sys.modules["snakemake_executor_plugin_slurm"], lambda: bool(SIGNALS))
    for line in or_stop(
        check_scheduled, plan, parameters, jobs, with_conda=with_conda, local=local
    ):
        print(f"lorabench: {line}", file=sys.stderr)


def gpus():
    """Return the GPUs that a job with the model asks for."""
    return int(any(run["require_gpu"] for run in RUNS.values()))


def training_gpus():
    """Return the GPUs that training asks for, a process each: all that the profile offers."""
    offered = workflow.global_resources.get("gpu")
    return gpus() * ((offered and offered.value) or 1)


def partition():
    """Return the SLURM partition of jobs with the model, None for the cluster's default: the profile's
    gpu_partition where they ask for a GPU."""
    given = workflow.resource_settings.default_resources or {}
    names = ["gpu_partition", "slurm_partition"] if gpus() else ["slurm_partition"]
    values = [str(given[name].raw).strip("'\"") for name in names if name in given]
    return next((value for value in values if value not in ("", "None")), None)


def model_memory(wildcards, attempt):
    """Return the main memory (MB) that a cluster reserves for a job with the model; more after each
    failure, which may have been for want of memory."""
    return attempt * max(memory_mb(run) for run in RUNS.values())


def half_the_cores():
    """Return threads for jobs of which two run side by side on one machine."""
    return max(1, (workflow.resource_settings.cores or 16) // 2)


def all_cores():
    """Return threads for a job that has the machine to itself."""
    return min(workflow.resource_settings.cores or 8, 16)


def commit():
    """Return the short hash of the checked-out commit, "uncommitted" outside a repository."""
    answer = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "uncommitted"


ADAPTER_EXPORT = plan.adapter_export()
REPORT_EXPORT = f"reports/bench/{commit()}"


# Short jobs, and those that need the internet: where Snakemake runs, not in a queue.
localrules:
    fetch_model,
    fetch_conversations,
    fetch_benchmark,
    prepare_conversations,
    check_contamination,
    import_adapter,
    describe_adapter,
    merge_answers,
    summarise_inference,
    score_benchmark,
    declare_gate,
    write_notices,
    check_gate,
    compare_variants,
    write_report,
    export_adapter,
    export_report,


wildcard_constraints:
    run=any_of(RUNS),
    variant="base|lora|merged",
    variants="base-lora|base|lora|merged",
    engine="transformers|vllm",
    benchmark="|".join(BENCHMARKS),
    shard=r"\d+",
    shards=r"\d+",
