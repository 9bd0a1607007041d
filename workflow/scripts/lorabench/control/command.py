"""What the commands next to Snakemake share: config files, and errors in one line."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorabench.control.configuration import load, resolve
from lorabench.errors import LorabenchError

ROOT = Path(__file__).resolve().parents[4]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of `--configfile`, whose help is a docstring's first line."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument(
        "--configfile", nargs="*", type=Path, default=[], help="overlays on config/config.yaml"
    )
    return parser


def configured_runs(overlays: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return run name -> config of config/config.yaml, overlays and environment; see `resolve`."""
    files = [ROOT / "config" / "config.yaml", *overlays]
    return resolve(load(files), files, os.environ)


@contextmanager
def errors_in_lines() -> Iterator[None]:
    """End the process with exit code 2, without a traceback, where the block raises our error.

    Where nobody reads the output to its end (`make plan | head`), it ends quietly.
    """
    try:
        yield
        sys.stdout.flush()
    except LorabenchError as error:
        print(f"lorabench: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # so that Python does not try again when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
