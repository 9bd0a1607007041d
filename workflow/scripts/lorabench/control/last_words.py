"""The last lines of a run that did not finish: why, and the command that goes on."""

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# bytes of a log in which its last error is looked for
TAIL = 20_000
# bytes free on a disk, below which a log may have lost its end
FULL_DISK = 2**20
# set by the Makefile: the call that the user typed
COMMAND = "LORABENCH_COMMAND"
OUR_LINE = re.compile(r"^lorabench: \w+: .+$", re.MULTILINE)
EXCEPTION = re.compile(r"^(?!Traceback)[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*$", re.MULTILINE)
SLURM_END = re.compile(r"^.*(?:DUE TO|exceeded memory limit|oom.kill|Killed|NODE FAIL).*$", re.M)


@dataclass(frozen=True)
class FailedJob:
    """A job whose last attempt failed."""

    message: str
    log: Path
    since: float
    cluster_logs: Path | None = None


def closing_lines(
    failed: Sequence[FailedJob], *, interrupted: bool, command: str, logfile: str
) -> list[str]:
    """Return the lines that end a run which did not finish.

    Args:
        failed: jobs that failed after all their attempts.
        interrupted: the user or the machine stopped the run.
        command: what was typed, and goes on when typed again.
        logfile: Snakemake's own log.
    """
    lines = []
    for job in failed:
        lines += [
            f"lorabench: {job.message} failed: {cause_of(job, Path(logfile))}",
            f"  log: {job.log}",
        ]
    if interrupted:
        lines.append("lorabench: interrupted; what was finished is kept, training and answers too")
    if not lines:
        lines = ["lorabench: the run stopped before its end", f"  log: {logfile}"]
    return [*lines, f"  to go on: {command}"]


def cause_of(job: FailedJob, logfile: Path) -> str:
    """Return the reason why a job failed, in one line, from what its logs say last.

    `logfile` is Snakemake's own, which has SLURM's word for the end of each job.
    """
    started = job.log.exists() and job.log.stat().st_mtime >= job.since
    text = _tail(job.log) if started else ""
    if ours := OUR_LINE.findall(text):
        return str(ours[-1].split(": ", 2)[2])
    if exceptions := EXCEPTION.findall(text):
        return str(exceptions[-1])
    if job.cluster_logs and (reason := _cluster_reason(job.cluster_logs, logfile)):
        return reason
    folder = job.log.parent if job.log.parent.is_dir() else Path()
    if shutil.disk_usage(folder).free < FULL_DISK:
        return f"the disk of {folder.resolve()} is full"
    if not started:
        return "it did not start; Snakemake's words above say why"
    return (
        "it was killed before it could say why. Most often the machine had too little memory"
        " (`dmesg | tail` names the process): close other programs or take a smaller batch"
    )


def typed_command(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the command that the user typed: make's, else Snakemake's."""
    if command := environment.get(COMMAND):
        return command
    return shlex.join([Path(words[0]).name.replace("__main__.py", "snakemake"), *words[1:]])


def as_failed(jobs: Iterable[Any], since: float, cluster_logs: Path | None) -> list[FailedJob]:
    """Return Snakemake's failed jobs; members of a group one by one."""
    found = []
    for job in jobs:
        for one in getattr(job, "jobs", None) or [job]:
            name, log = one.rule.name, [*one.log]
            found.append(
                FailedJob(
                    message=one.message or name,
                    log=Path(log[0]) if log else Path(os.devnull),
                    since=since,
                    cluster_logs=cluster_logs and cluster_logs / f"rule_{name}",
                )
            )
    return sorted(found, key=lambda job: job.message)


def _cluster_reason(folder: Path, logfile: Path) -> str | None:
    """Return the line with which SLURM says why it ended the newest job of a rule, or its word."""
    logs = sorted(folder.rglob("*.log"), key=lambda file: file.stat().st_mtime)
    if not logs:
        return None
    found = SLURM_END.findall(_tail(logs[-1]))
    found = found or re.findall(
        rf"SLURM-job '{logs[-1].stem}' failed, (SLURM status is: '\w+')", _tail(logfile)
    )
    return f"{found[0].strip()} ({logs[-1]})" if found else None


def _tail(file: Path) -> str:
    """Return the end of a text file, nothing where it cannot be read."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
