"""The progress view: what started, what is done in each stage, and errors whole."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import snakemake_logger_plugin_lorabench as view
from checkout import CLEAN, ROOT
from snakemake_logger_plugin_lorabench import STAGE_OF, clock

SNAKEFILE = """
rule all:
    input: "report"
rule fetch_model:
    output: "model"
    message: "fetch a model"
    shell: "echo noise of a job >&2; touch {output}"
rule write_report:
    input: "model"
    output: "report"
    message: "write a report"
    shell: "SHELL_COMMAND"
"""


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a workflow of two jobs with the progress view."""
    (folder / "Snakefile").write_text(SNAKEFILE.replace("SHELL_COMMAND", command))
    environment = {**CLEAN, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    words = [sys.executable, "-m", "snakemake", "all", "--cores", "1", "--logger", "lorabench"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment)


def test_lines_tell_jobs_and_stages(tmp_path: Path) -> None:
    """Starts and ends in order, with every stage; noise goes to the log."""
    answer = run(tmp_path, "touch {output}")
    lines = [
        re.sub(r"\d+:\d\d", "T", line)
        for line in answer.stderr.splitlines()
        if line.startswith("[")
    ]
    assert [" ".join(line.split()) for line in lines] == [
        "[0/2 T] start fetch a model",
        "[1/2 T] done fetch a model (T) | data 1/1 · report 0/1",
        "[1/2 T] start write a report",
        "[2/2 T] done write a report (T) | data 1/1 · report 1/1",
    ]
    assert "noise of a job" not in answer.stderr
    assert "noise of a job" in (tmp_path / "logs" / "jobs.log").read_text()


def test_a_failed_job_is_named_and_its_words_are_kept(tmp_path: Path) -> None:
    """One line names the job; all that was said is in the jobs' log."""
    answer = run(tmp_path, "echo the reason >&2; exit 3")
    assert answer.returncode == 1
    assert "failed write a report" in answer.stderr.splitlines()[-1]
    run(tmp_path, "touch {output}")
    log = (tmp_path / "logs" / "jobs.log").read_text()
    assert "the reason" in log and "did not complete successfully" in log


def test_what_runs_now_has_the_numbers_of_its_progress_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speed, loss and time left are shown once a job has run for a minute."""
    monkeypatch.setattr(view, "JOBS_LOG", tmp_path / "jobs.log")
    monkeypatch.setattr(view.time, "monotonic", lambda: 1000.0)
    newest = "train:  41%|####      | 41/99 [04:10<05:50, 245tok/s, loss=2.3]"
    (tmp_path / "jobs.log").write_text(f"train:   1%|  | 9/900\r{newest}")
    handler = object.__new__(view.LogHandler)
    handler.begin, handler.log_begin = 700.0, 0
    handler.totals, handler.finished = Counter(training=2), Counter(training=1)
    handler.names = {7: ("train_adapter", "train the adapter of demo")}
    handler.started = {7: 725.0}
    assert handler.running(60) == (
        "[1/2   5:00] now    train the adapter of demo (4:35) | train:  41% 41/99 [04:10<05:50,"
        " 245tok/s, loss=2.3]"
    )
    handler.started = {7: 995.0}
    assert handler.running(60) is None and handler.running(0) is not None


def test_every_rule_belongs_to_a_stage() -> None:
    """A rule without a stage would run unseen."""
    rules = {
        name
        for file in (ROOT / "rules").glob("*.smk")
        for name in re.findall(r"^\s*rule (\w+):", file.read_text(), re.MULTILINE)
    }
    assert rules == set(STAGE_OF)
    assert (clock(59), clock(3661)) == ("0:59", "1:01:01")
