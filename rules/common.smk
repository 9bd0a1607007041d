import subprocess

from snakemake.settings.types import DeploymentMethod

from lorabench.control.benchmarks import (
    BENCHMARKS,
    JUDGED,
    ROOMS,
    TASKS,
    benchmark_code,
    exported_file,
    read_task_file,
    sample_files,
)
from lorabench.control.configuration import resolve, source, source_label
from lorabench.errors import LorabenchError
from lorabench.files import read_json, sha256_file
from lorabench.judging.availability import judge_available
from lorabench.control.preflight import check
from lorabench.control.source_hash import code_hash
from lorabench.control.memory_model import GLIBC_TUNABLES

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


def read_runs():
    """Return run name -> config for the run and its sweep."""
    try:
        return resolve(config, config_files(), os.environ)
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
    from lorabench.control.judge_preflight import (
        check_judges,
    )  # a tenth of a second that no job's own start should pay

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
        judging = sorted(
            {(job.wildcards.run, job.rule.name) for job in jobs if job.rule.name in JUDGED.values()}
        )
        sections = [(name, RUNS[run][name]) for run, name in judging]
        for line in check_judges(sections, local=workflow.local_exec):
            print(f"lorabench: {line}", file=sys.stderr)
    except LorabenchError as error:
        stop(error)


include: "common/parameters.smk"
include: "common/sources.smk"
include: "common/judgments.smk"
include: "common/results.smk"
include: "common/resources.smk"


wildcard_constraints:
    run="|".join(RUNS),
    variant="base|lora|merged",
    benchmark="|".join(BENCHMARKS),
    shard=r"\d+",
    shards=r"\d+",
