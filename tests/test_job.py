"""A job's frame: one line for every error, its traceback in the log, one process a log."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lorabench.errors import DataError
from lorabench.files import write_text
from lorabench.job import job

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def fail_with(folder: Path, action: Callable[[], object]) -> str:
    """Run a job that fails; return its log."""
    log = folder / "logs" / "rule.log"
    given = SimpleNamespace(log=[str(log)], rule="rule", scriptdir=str(SCRIPTS), threads=1)
    with pytest.raises(SystemExit) as end, job(given):
        action()
    assert end.value.code == 1
    return log.read_text()


def raises(error: BaseException) -> Callable[[], object]:
    """Return a function that raises."""

    def action() -> None:
        raise error

    return action


def noted(error: Exception, note: str) -> Exception:
    """Return the error with a note that says what was done."""
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("row 3: no text"), ["row 3: no text"]),
        (OSError(errno.ENOSPC, "No space left on device", "/x/model"), ["/x/model", "disk /"]),
        (OSError(errno.EROFS, "Read-only file system", "/x/model"), ["/x/model", "read-only"]),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), ["/x/y", "permissions"]),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ["disk /", "free some"]),
        (noted(DataError("no text"), "mmlu on\nlora"), ["rule: mmlu on lora: no text"]),
        (ValueError("two\nlines"), ["ValueError: two lines", "the traceback is in"]),
        (KeyboardInterrupt(), ["interrupted"]),
    ],
)
def test_every_error_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, words: list[str]
) -> None:
    """The terminal gets the line, the log the traceback and the same line last."""
    text = fail_with(tmp_path, raises(error))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lorabench: rule: ")
    assert all(word in line for word in words)
    assert text.splitlines()[-1] == line
    if not isinstance(error, KeyboardInterrupt):
        assert "Traceback" in text


def test_a_full_disk_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real write to a full disk, whose error names no file."""
    fail_with(tmp_path, lambda: Path("/dev/full").write_text("x" * 10_000))
    assert "No space left on device" in capsys.readouterr().err


def test_a_job_that_still_runs_is_not_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that outlived its Snakemake keeps its lock."""
    lock = tmp_path / "logs" / ".rule.log.lock"
    lock.parent.mkdir()
    with lock.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        print("process 4242 on node7", file=stream, flush=True)
        text = fail_with(tmp_path, raises(AssertionError("must not run")))
    assert "process 4242 on node7 still runs this job" in capsys.readouterr().err
    assert "4242" in text and "must not run" not in text


def test_files_are_as_open_as_the_umask_says(tmp_path: Path) -> None:
    """Private under umask 077, shared with the group under 002."""
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "private", "x")
        os.umask(0o002)
        write_text(tmp_path / "shared", "x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "shared")]
    assert modes == [0o600, 0o664]


def test_a_folder_where_a_file_belongs_is_named(tmp_path: Path) -> None:
    """The error names the folder, not the temporary file."""
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.json"):
        write_text(tmp_path / "a.json", "x")
