"""The frame of every rule's script: log file, working-tree check, and errors shown as one line."""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lorabench
from lorabench.arguments import arguments_of
from lorabench.errors import LorabenchError, PrerequisiteError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run_job(snakemake: Any, function: Callable[..., None], unused: Sequence[str] = ()) -> None:
    """Call the rule's function with the arguments that the rule names, as a job.

    Args:
        snakemake: the object that Snakemake puts into a script.
        function: see `lorabench.arguments`.
        unused: names of the rule that the function does not take.
    """
    with job(snakemake):
        function(**arguments_of(snakemake, function, unused))


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the body of a Snakemake `script:` job: messages go to the rule's log, our own warnings
    also to stderr.

    A `LorabenchError` ends the job with exit code 1 and one line; the traceback of any error is in
    the log.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = log.open("w", encoding="utf-8", buffering=1)
    file = logging.StreamHandler(stream)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(_for_people)
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    # one line a request
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("TQDM_MININTERVAL", "1" if sys.stderr.isatty() else "10")
    try:
        check_package(Path(snakemake.scriptdir))
        # a job computes with the threads that it was given; scripts without torch do not load it
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(snakemake.threads)
        yield
    except LorabenchError as error:
        message = f"lorabench: {snakemake.rule}: {error}"
        stream.write(f"{traceback.format_exc()}{message}\n")
        print(message, file=sys.stderr)
        sys.exit(1)
    except Exception:
        stream.write(traceback.format_exc())
        raise
    finally:
        logging.getLogger().removeHandler(file)
        stream.close()


def log_process(log: Path) -> None:
    """Set up the log of a process that a job started.

    The first process logs as the job does, the others log warnings only.
    """
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(_for_people)
    handlers: list[logging.Handler] = [terminal]
    if os.environ.get("RANK", "0") == "0":
        handlers.append(logging.FileHandler(log, encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)
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
