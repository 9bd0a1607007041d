"""The frame of every rule's script: log file, working-tree check, and errors shown as one line."""

import errno
import fcntl
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

import lorabench
from lorabench.arguments import arguments_of
from lorabench.errors import LorabenchError, PrerequisiteError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# errors of the machine, and what to do about them
REMEDIES = {
    errno.ENOSPC: "free some space, then start again",
    errno.EDQUOT: "your quota is used up; free some space, then start again",
    errno.EROFS: "it is mounted read-only; mount it for writing, or move the project",
    errno.EACCES: "change its owner or its permissions",
    errno.EPERM: "change its owner or its permissions",
    errno.ELOOP: "the symbolic link points to itself; remove it",
    errno.EISDIR: "a folder is where a file is expected; move it away",
    errno.ENOTDIR: "a file is where a folder is expected; move it away",
    errno.EEXIST: "a file is where a folder is expected; move it away",
    errno.EIO: "the disk cannot be read or written; look at `dmesg`",
    errno.EMFILE: "too many open files; raise the limit with ulimit -n",
}


def run_job(snakemake: Any, function: Callable[..., None], unused: Sequence[str] = ()) -> None:
    """Call the rule's function with the arguments that the rule names, as a job."""
    with job(snakemake):
        function(**arguments_of(snakemake, function, unused))


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the body of a Snakemake `script:` job, with messages in the rule's log.

    Any error ends the job with exit code 1 and one line; the traceback is in the log. While the job
    runs, a second process for the same job is refused.
    """
    log = Path(snakemake.log[0])
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("w", encoding="utf-8", buffering=1)
        # Snakemake removes the log before it starts a job, so the lock is a separate file
        lock = log.with_name(f".{log.name}.lock").open("a+", encoding="utf-8")
    except OSError as error:
        _end(snakemake.rule, machine_fault(error) or str(error))
    if (other := _running_elsewhere(lock)) is not None:
        _end(
            snakemake.rule,
            f"{other} still runs this job, from a Snakemake that was killed: wait until it ends, or"
            " end it with kill",
            stream,
        )
    file = logging.StreamHandler(stream)
    _log_to(file)
    # one line a request
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("TQDM_MININTERVAL", "1" if sys.stderr.isatty() else "10")
    try:
        check_package(Path(snakemake.scriptdir))
        # a job computes with the threads that it was given; scripts without torch do not load it
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(snakemake.threads)
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, LorabenchError) else machine_fault(error)
        # where the disk is full the traceback is lost, the line on the terminal is not
        with suppress(OSError):
            stream.write(traceback.format_exc())
        where = [" ".join(note.split()) for note in getattr(error, "__notes__", ())]
        _end(snakemake.rule, ": ".join([*where, reason or _in_one_line(error, log)]), stream)
    except KeyboardInterrupt:
        _end(snakemake.rule, "interrupted", stream)
    finally:
        logging.getLogger().removeHandler(file)
        with suppress(OSError):
            stream.close()
            lock.close()


def machine_fault(error: BaseException) -> str | None:
    """Return one line for an error of a disk or of its files, None for other errors.

    Libraries that write files themselves put the system's error number into their message.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (said := re.search(r"os error (\d+)", str(error))):
        number = int(said[1])
    if number not in REMEDIES:
        return None
    name = getattr(error, "filename", None)
    if isinstance(name, str | bytes):
        where = Path(os.fsdecode(name)).absolute()
        return f"{where}: {os.strerror(number)} (disk {_disk_of(where)}): {REMEDIES[number]}"
    # a write names no file: the fullest of the disks that jobs write to
    folders = (Path(), Path(tempfile.gettempdir()))
    disk = _disk_of(min(folders, key=lambda folder: shutil.disk_usage(folder).free))
    return f"disk {disk}: {os.strerror(number)}: {REMEDIES[number]}"


def _disk_of(path: Path) -> Path:
    """Return the folder at which the disk of a path is mounted."""
    folder = path.absolute()
    while not os.path.ismount(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _running_elsewhere(lock: TextIO) -> str | None:
    """Take a job's lock until the process ends; return who holds it where that fails.

    A disk that cannot lock files is no reason to stop.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        return lock.read().strip() or "another process"
    except OSError:
        return None
    with suppress(OSError):
        lock.truncate(0)
        print(f"process {os.getpid()} on {platform.node()}", file=lock, flush=True)
    return None


def _in_one_line(error: Exception, log: Path) -> str:
    """Return an unexpected error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]} (the traceback is in {log})"


def _end(rule: str, reason: str, log: TextIO | None = None) -> NoReturn:
    """End the job: its last line on the terminal, and in its log."""
    message = f"lorabench: {rule}: {reason}"
    print(message, file=sys.stderr)
    if log is not None:
        with suppress(OSError):
            log.write(f"{message}\n")
    sys.exit(1)


def log_process(log: Path) -> None:
    """Set up the log of a process that a job started.

    The first process logs as the job does, the others log warnings only.
    """
    first = os.environ.get("RANK", "0") == "0"
    _log_to(*[logging.FileHandler(log, encoding="utf-8")] * first)


def _log_to(*files: logging.Handler) -> None:
    """Log to files, and to the terminal what is for people."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(_for_people)
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[*files, terminal], force=True)
    logging.captureWarnings(True)


def _for_people(record: logging.LogRecord) -> bool:
    """Pass the project's own warnings and all errors; the log has what libraries remark."""
    return record.levelno >= (
        logging.WARNING if record.name.startswith("lorabench") else logging.ERROR
    )


def check_package(scripts: Path) -> None:
    """Refuse an installed copy of the package that hides the one next to the scripts.

    The rules hash the one next to the scripts.

    Raises:
        PrerequisiteError: `lorabench` was imported from elsewhere.
    """
    folder = Path(lorabench.__file__).resolve().parent
    expected = scripts.resolve() / "lorabench"
    if folder != expected:
        raise PrerequisiteError(
            f"the package lorabench was imported from {folder}, expected {expected}: uninstall that"
            " copy (pip uninstall lorabench) or install it editable (pip install -e .)"
        )
