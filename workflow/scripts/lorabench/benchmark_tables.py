"""Find what a room knows of a benchmark: `BENCHMARK` in lorabench/{room}/benchmarks/{benchmark}.py.

The modules are imported by name, so that the code of one benchmark is no part of a script's import
closure: a rule's hash then holds only the modules of the benchmark that its job works on.
"""

import functools
import importlib
from pathlib import Path
from typing import TypeVar

from lorabench.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent
Kind = TypeVar("Kind")


@functools.cache
def benchmark_names(room: str) -> tuple[str, ...]:
    """Return the benchmarks that have a module in `room`, in alphabetical order."""
    files = (PACKAGE / room / "benchmarks").glob("*.py")
    return tuple(sorted(file.stem for file in files if file.stem != "__init__"))


def benchmark_file(room: str, benchmark: str) -> Path:
    """Return the module of a benchmark in `room`.

    Raises:
        ConfigurationError: the room has no such module.
    """
    names = benchmark_names(room)
    if benchmark not in names:
        raise ConfigurationError(
            f"benchmark {benchmark!r}: no module in lorabench/{room}/benchmarks; expected one of"
            f" {', '.join(names)}"
        )
    return PACKAGE / room / "benchmarks" / f"{benchmark}.py"


def find_benchmark(room: str, benchmark: str, kind: type[Kind]) -> Kind:
    """Return `BENCHMARK` of a benchmark's module in `room`.

    Args:
        room: data, evaluation or scoring.
        benchmark: the name that config, files and rules use.
        kind: the class that `BENCHMARK` must have.

    Raises:
        ConfigurationError: there is no such module, or its `BENCHMARK` is something else.
    """
    file = benchmark_file(room, benchmark)
    module = importlib.import_module(f"lorabench.{room}.benchmarks.{benchmark}")
    found = getattr(module, "BENCHMARK", None)
    if not isinstance(found, kind):
        raise ConfigurationError(
            f"{file.name} in lorabench/{room}/benchmarks: expected BENCHMARK to be"
            f" {kind.__name__}, found {type(found).__name__}"
        )
    return found
