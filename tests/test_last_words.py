"""A run that did not finish ends with the cause, the log and the command."""

import os
import time
from pathlib import Path

import pytest

from lorabench.control.last_words import FailedJob, cause_of, closing_lines, typed_command

TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
ValueError: cannot be
"""

NONE = Path("/dev/null")


def failed(folder: Path, text: str | None, cluster: str | None = None) -> FailedJob:
    """Return a failed job whose log holds `text`; None where it wrote none."""
    log = folder / "job.log"
    if text is not None:
        log.write_text(text)
    if cluster is not None:
        (folder / "slurm" / "base").mkdir(parents=True)
        (folder / "slurm" / "base" / "7.log").write_text(cluster)
    return FailedJob(
        "train the adapter", log, time.time() - 60, folder / "slurm" if cluster else None
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"{TRACEBACK}lorabench: train_adapter: disk /: full\n", "disk /: full"),
        (TRACEBACK, "ValueError: cannot be"),
        ("step 3\n", "it was killed before it could say why"),
        (None, "it did not start"),
    ],
)
def test_the_cause_is_what_the_log_says_last(tmp_path: Path, text: str | None, cause: str) -> None:
    """The project's own line, else the exception, else that there is none."""
    assert cause_of(failed(tmp_path, text), NONE).startswith(cause)


def test_a_log_of_an_earlier_run_says_nothing(tmp_path: Path) -> None:
    """A job that did not start leaves the log of the last run."""
    job = failed(tmp_path, "lorabench: train_adapter: an old fault\n")
    os.utime(job.log, (0, 0))
    assert cause_of(job, NONE).startswith("it did not start")


def test_slurm_says_why_it_ended_a_job(tmp_path: Path) -> None:
    """A job that SLURM ends writes no cause; SLURM's log has it."""
    text = "slurmstepd: error: *** JOB 7 ON gpu1 CANCELLED AT 2026-11-26 DUE TO TIME LIMIT ***\n"
    assert "DUE TO TIME LIMIT" in cause_of(failed(tmp_path, "step 3\n", text), NONE)


def test_slurms_word_for_the_end_is_in_snakemakes_log(tmp_path: Path) -> None:
    """A job that was cancelled, or ended a moment after its limit, leaves no other trace."""
    log = tmp_path / "snakemake.log"
    log.write_text("SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Detailed\n")
    cause = cause_of(failed(tmp_path, "step 3\n", "1 of 1 steps (100%) done\n"), log)
    assert cause == f"SLURM status is: 'TIMEOUT' ({tmp_path / 'slurm' / 'base' / '7.log'})"


def test_the_lines_say_how_to_go_on(tmp_path: Path) -> None:
    """Failure and interruption both end with the command."""
    job = failed(tmp_path, TRACEBACK)
    lines = closing_lines([job], interrupted=False, command="make bench-smoke", logfile="x.log")
    assert lines == [
        "lorabench: train the adapter failed: ValueError: cannot be",
        f"  log: {job.log}",
        "  to go on: make bench-smoke",
    ]
    lines = closing_lines([], interrupted=True, command="snakemake", logfile="x.log")
    assert "interrupted" in lines[0] and lines[-1] == "  to go on: snakemake"


def test_the_command_is_the_one_that_was_typed() -> None:
    """Make's call counts where make called; paths and quotes can be pasted."""
    words = ["/x/.venv/bin/snakemake", "all", "--config", "a b"]
    assert typed_command(words, {}) == "snakemake all --config 'a b'"
    assert typed_command(words, {"LORABENCH_COMMAND": "make bench-demo"}) == "make bench-demo"
