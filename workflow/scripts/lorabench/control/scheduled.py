"""Everything that scheduled jobs need, checked together before the first of them starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorabench.control.benchmarks import JUDGED
from lorabench.control.exports import find_foreign_files, find_replaced_adapters
from lorabench.control.parameters import Parameters
from lorabench.control.plan import ADAPTER_FILES, Plan
from lorabench.control.preflight import check
from lorabench.errors import LorabenchError, PrerequisiteError
from lorabench.publishing import TOKENIZER_FILES


def check_scheduled(
    plan: Plan, parameters: Parameters, jobs: Sequence[Any], *, with_conda: bool, local: bool
) -> list[str]:
    """Return remarks on what the jobs need; remote judges are asked one tiny question each, so that
    a retired model costs no GPU hour.

    Args:
        plan, parameters: of the config.
        jobs: Snakemake's jobs that will run.
        with_conda: Snakemake builds the jobs' environments.
        local: jobs run on this machine.

    Raises:
        PrerequisiteError: something is missing or would be replaced; all faults, one a line.
    """
    rules = {job.rule.name for job in jobs}
    faults = find_replaced_adapters(
        plan.runs, {job.wildcards.run for job in jobs if job.rule.name == "import_adapter"}
    )
    if "export_adapter" in rules and plan.runs[plan.main]["export_adapter"]["folder"]:
        folder = Path(plan.adapter_export())
        faults += find_foreign_files(folder, {*ADAPTER_FILES, *TOKENIZER_FILES})
    try:
        check(
            {name: dict(run) for name, run in plan.runs.items()},
            rules,
            vllm=parameters.vllm_jobs(jobs),
            with_conda=with_conda,
            local=local,
            environment=plan.environment,
        )
    except LorabenchError as error:
        faults += str(error).splitlines()
    if faults:
        raise PrerequisiteError("\n".join(faults))
    return _ask_judges(plan, jobs, local)


def _ask_judges(plan: Plan, jobs: Sequence[Any], local: bool) -> list[str]:
    judging = sorted(
        {(job.wildcards.run, job.rule.name) for job in jobs if job.rule.name in JUDGED.values()}
    )
    if not judging:
        return []
    # a tenth of a second that calls without judges need not wait
    from lorabench.control.judge_preflight import check_judges

    sections = [(rule, plan.runs[run][rule]) for run, rule in judging]
    return check_judges(sections, run=judging[0][0], local=local)
