"""What a SLURM cluster must offer before jobs are sent to it, and what they reserve there."""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from lorabench.control.preflight import weights_by_name
from lorabench.errors import PrerequisiteError

# Seconds for which SLURM must remember a finished job so that `squeue` can be asked for it: three
# times slurm-init-seconds-before-status-checks of the profile, as the executor plugin counts.
REMEMBERED_SECONDS = 45
# main memory of a job with the model: PyTorch and its libraries, and bytes a weight (a checkpoint
# that is read, its copy in another type, and what is written)
PROCESS_MB = 4000
BYTES_PER_WEIGHT = 7.5
# between two questions to a controller that does not answer
PAUSE_SECONDS = 15
SILENT = "lorabench: SLURM does not answer; its jobs go on, and it is asked again until it does"
# where a model's name does not say its size
ASSUMED_WEIGHTS = 8e9


def memory_mb(run: dict[str, Any]) -> int:
    """Return the main memory, in MB, that a job with the run's base model is given on a cluster."""
    base = run["fetch_model"]["base"]
    if base["kind"] == "built-in":
        return PROCESS_MB
    weights = weights_by_name(base["name"])
    size = ASSUMED_WEIGHTS if weights is None else weights
    return PROCESS_MB + int(BYTES_PER_WEIGHT * size / 1e6)


def scontrol_config() -> str | None:
    """Return what `scontrol show config` prints, None where SLURM's controller does not answer."""
    command = ["scontrol", "show", "config"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def check_cluster(
    which: Callable[[str], str | None] = shutil.which,
    config: Callable[[], str | None] = scontrol_config,
) -> None:
    """Check that jobs can be sent to SLURM and that their ends will be seen.

    Raises:
        PrerequisiteError: SLURM is not here, or it forgets finished jobs too early and keeps no
            accounts of them: Snakemake would wait for ever.
    """
    missing = [program for program in ("sbatch", "squeue", "scontrol") if which(program) is None]
    if missing:
        raise PrerequisiteError(
            f"the profile sends jobs to SLURM and {', '.join(missing)} is not on the PATH here: run"
            " this on a node of the cluster from which jobs are submitted, or use --profile local"
        )
    found = config()
    if found is None:
        raise PrerequisiteError(
            "SLURM's controller does not answer (`scontrol ping`): start again when it does, or use"
            " --profile local"
        )
    kept = re.search(r"^MinJobAge\s*=\s*(\d+)", found, re.MULTILINE)
    accounts = not re.search(
        r"^AccountingStorageType\s*=\s*(\S*/none|\(null\))", found, re.MULTILINE
    )
    if not accounts and kept and int(kept[1]) < REMEMBERED_SECONDS:
        raise PrerequisiteError(
            f"this cluster keeps no accounts and forgets a finished job after {kept[1]} seconds"
            f" (MinJobAge), expected at least {REMEMBERED_SECONDS}: lower"
            " slurm-init-seconds-before-status-checks in profiles/slurm-gpu/profile.yaml and"
            " REMEMBERED_SECONDS in control/cluster.py to a third of it, or ask for a higher"
            " MinJobAge"
        )


def keep_asking(
    plugin: Any,
    interrupted: Callable[[], bool],
    config: Callable[[], str | None] = scontrol_config,
) -> None:
    """Make the executor plugin (2.8) bear with a controller that does not answer for a while.

    By itself the plugin gives up a job that it cannot submit. Where it cannot ask for jobs, it asks
    `sacct`, which needs accounts, and after its last attempt it forgets them and waits for ever.

    Args:
        plugin: the module snakemake_executor_plugin_slurm.
        interrupted: returns whether the run is to end.
        config: returns None while the controller does not answer.
    """
    ask, remembered = plugin.query_job_status, plugin.get_min_job_age()
    submit = plugin.Executor.run_job

    async def ask_until_answered(command: str, logger: Any) -> Any:
        silent = False
        while (answer := await ask(command, logger))[0] is None and not interrupted():
            if not silent:
                print(SILENT, file=sys.stderr)
            silent = True
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    def submit_when_answered(executor: Any, job: Any) -> None:
        silent = False
        while config() is None and not interrupted():
            if not silent:
                print(SILENT, file=sys.stderr)
            silent = True
            time.sleep(PAUSE_SECONDS)
        submit(executor, job)

    plugin.query_job_status = ask_until_answered
    plugin.get_min_job_age = lambda: remembered
    plugin.Executor.run_job = submit_when_answered
