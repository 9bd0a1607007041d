"""A small version of benchmarks/interval_coverage.py."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 300
# 93 % less four standard errors of 300 repeats
LEAST = 0.93 - 4 * (0.93 * 0.07 / REPEATS) ** 0.5


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """Return the benchmark as a module."""
    file = ROOT / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("interval_coverage", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_interval_holds_the_truth_as_often_as_it_says(simulation: ModuleType) -> None:
    """No row of the table is clearly below 93 % or lacks an interval."""
    found = {
        (row.figure, row.n, row.population): simulation.coverage(row, 0.95, REPEATS, 7)
        for row in simulation.rows()
    }
    assert not {name: part for name, part in found.items() if part.held < LEAST}
    assert not any(part.none for part in found.values())


@pytest.mark.slow
def test_full_size_intervals_are_not_too_wide(simulation: ModuleType) -> None:
    """At full size no interval of well-behaved data holds the truth almost always."""
    ordinary = {"30% right", "70% right", "equal", "better", "mean 50 %, near 0 or 1", "normal"}
    for row in simulation.rows():
        if row.n in {"1319", "14042", "805"} and row.population in ordinary:
            assert simulation.coverage(row, 0.95, REPEATS, 8).held < 0.985, row
