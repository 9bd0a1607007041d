"""A small version of benchmarks/gate_operating_characteristics.py."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lorabench.control.configuration import load
from lorabench.scoring.settings import GateSettings

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 200
# a share of 5 % and three standard errors of 200 repeats
MOST = 0.05 + 3 * (0.05 * 0.95 / REPEATS) ** 0.5


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """Return the benchmark as a module."""
    file = ROOT / "benchmarks" / "gate_operating_characteristics.py"
    spec = importlib.util.spec_from_file_location("gate_operating_characteristics", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def passes(simulation: ModuleType, name: str, adapter: str, size: str, seed: int = 1) -> float:
    """Return the share of drawn runs whose line passes."""
    config = load([ROOT / "config" / "config.yaml"])["gate"]
    settings = GateSettings.parse_section(config, "gate")
    n = simulation.SIZES[size][name]
    verdicts = [
        simulation.line_of(
            name, adapter, n, settings, np.random.default_rng([seed, repeat])
        ).verdict
        for repeat in range(REPEATS)
    ]
    return verdicts.count("pass") / REPEATS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gsm8k", "mt_bench", "alpaca_eval"])
@pytest.mark.parametrize("adapter", ["margin", "rare losses"])
@pytest.mark.parametrize("size", ["demo", "full"])
def test_an_adapter_at_its_margin_seldom_passes(
    simulation: ModuleType, name: str, adapter: str, size: str
) -> None:
    """Wrong passes stay at alpha, also where a few items lose everything."""
    assert passes(simulation, name, adapter, size) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gsm8k", "mt_bench", "alpaca_eval"])
def test_an_identical_adapter_passes_at_full_size(simulation: ModuleType, name: str) -> None:
    """Zero differences are enough at full size and not at the demo's."""
    assert passes(simulation, name, "identical", "full") >= 0.9
    assert passes(simulation, name, "identical", "demo") == 0
