"""Everything that scheduled jobs need, checked together before the first of them starts."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorabench.control.benchmarks import JUDGED
from lorabench.control.parameters import Parameters
from lorabench.control.plan import ADAPTER_FILES, Plan
from lorabench.control.preflight import check
from lorabench.errors import LorabenchError, PrerequisiteError
from lorabench.files import read_json
from lorabench.publishing import TOKENIZER_FILES, exported_files


def check_scheduled(
    plan: Plan, parameters: Parameters, jobs: Sequence[Any], *, with_conda: bool, local: bool
) -> list[str]:
    """Check what the jobs need and ask each remote judge one question; return remarks.

    Args:
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


def find_foreign_files(folder: Path, names: Iterable[str]) -> list[str]:
    """Return one line where an export would replace files that no export wrote.

    Snakemake would remove them before the job.
    """
    known = exported_files(folder)
    foreign = sorted(name for name in names if os.path.lexists(folder / name) and name not in known)
    if not foreign:
        return []
    return [
        f"export_adapter.folder: {folder} has {', '.join(foreign)} that no earlier export wrote;"
        " choose another folder (LORA_OUTPUT_DIR), or move them away"
    ]


def find_replaced_adapters(
    runs: Mapping[str, Mapping[str, Any]], importing: Iterable[str]
) -> list[str]:
    """Return one line for each run that would import an adapter over one that was trained in it."""
    return [
        f"run {name!r} holds an adapter that was trained here, and import_adapter.path"
        f" {runs[name]['import_adapter']['path']!r} would replace it: give the run another name"
        " (run: NAME)"
        for name in sorted(importing)
        if _trained_here(Path("results") / name / "adapter" / "training_record.json")
    ]


def _trained_here(record: Path) -> bool:
    return record.is_file() and read_json(record).get("status") != "not_run"
