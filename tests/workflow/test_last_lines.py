"""The terminal's last lines when a run does not finish, with both loggers."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkout import CLEAN, Checkout, copy_repository

pytestmark = pytest.mark.slow

TARGET = "resources/conversations/built-in/messages.jsonl"
LOG = "logs/fetch_conversations/built-in.log"
LOCK = "logs/fetch_conversations/.built-in.log.lock"
LOGGERS: list[tuple[str, ...]] = [(), ("--logger", "lorabench")]


@pytest.fixture
def copy(tmp_path: Path) -> Checkout:
    """Return a copy of the repository that the test may change."""
    return copy_repository(tmp_path / "lorabench")


def change_script(copy: Checkout, line: str) -> None:
    """Make the job do something else when it starts."""
    script = copy.folder / "workflow" / "scripts" / "fetch_conversations.py"
    before = "    run_job("
    script.write_text(script.read_text().replace(before, f"    {line}\n{before}"))


def own_package(copy: Checkout) -> dict[str, str]:
    """Return the variable with which Snakemake finds the copy's logger."""
    return {"PYTHONPATH": str(copy.folder / "workflow" / "scripts")}


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_killed_job_is_named(copy: Checkout, logger: tuple[str, ...]) -> None:
    """As the kernel ends a process for lack of memory: no cause in the log, the lines say so."""
    change_script(copy, "import os; os.kill(os.getpid(), 9)")
    answer = copy.snakemake("--cores", "1", TARGET, *logger, environment=own_package(copy))
    assert answer.returncode == 1
    last = (answer.stdout + answer.stderr).splitlines()[-3:]
    assert last[0].startswith("lorabench: fetch conversations built-in failed: it ")
    assert last[1:] == [f"  log: {LOG}", last[2]]
    assert last[2].startswith("  to go on: ") and TARGET in last[2]
    if logger:
        assert "Traceback" not in answer.stderr and "did not complete" not in answer.stderr


def test_the_cause_is_shown_once(copy: Checkout) -> None:
    """The last lines have the cause once: here a job outlived its Snakemake."""
    (copy.folder / "logs" / "fetch_conversations").mkdir(parents=True)
    with (copy.folder / LOCK).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write("process 4242 on node7")
        stream.flush()
        answer = copy.snakemake(
            "--cores", "1", TARGET, "--logger", "lorabench", environment=own_package(copy)
        )
    assert answer.returncode == 1
    assert answer.stderr.count("4242 on node7 still runs this job") == 1


@pytest.mark.parametrize("logger", LOGGERS)
def test_an_interrupted_run_says_how_to_go_on(copy: Checkout, logger: tuple[str, ...]) -> None:
    """Ctrl-C reaches Snakemake and its jobs."""
    change_script(copy, 'open("started", "w").close(); import time; time.sleep(600)')
    command = [sys.executable, "-m", "snakemake", TARGET, "--profile", "local", "--cores", "1"]
    process = subprocess.Popen(
        [*command, "--configfile", "config/smoke.yaml", *logger],
        cwd=copy.folder,
        env={**CLEAN, **own_package(copy)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while not (copy.folder / "started").exists():
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    last = said.splitlines()[-2:]
    assert process.returncode == 1
    assert last[0].startswith("lorabench: interrupted")
    assert last[1].startswith("  to go on: snakemake ")


def test_no_home_is_needed(copy: Checkout) -> None:
    """Containers start processes with a HOME that is not there."""
    environment = {"HOME": "/proc/no-home", **own_package(copy)}
    answer = copy.snakemake("--cores", "1", TARGET, environment=environment)
    assert answer.returncode == 0, answer.stderr[-2000:]
