"""Power and energy: the driver's counter, else samples, else not run."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from lorabench.description.training import power as described
from lorabench.observation import power
from lorabench.observation.power import PowerMeter


class Driver:
    """Two GPUs of 100 W and 300 W whose energy counters tell 500 J more at each reading."""

    def __init__(self, counts: bool) -> None:
        self.counts, self.joules = counts, {"a": 0.0, "b": 0.0}

    def energy(self, gpu: str) -> float:
        """Return millijoules."""
        if not self.counts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self.joules[gpu] += 500
        return self.joules[gpu] * 1000

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer in place of NVML."""
        watts = {"a": 100_000, "b": 300_000}
        monkeypatch.setattr(power, "open_gpus", lambda: ["a", "b"])
        monkeypatch.setattr(power, "INTERVAL_SECONDS", 0.01)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", self.energy)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", watts.__getitem__)
        monkeypatch.setattr(
            pynvml,
            "nvmlDeviceGetMemoryInfo",
            lambda gpu: SimpleNamespace(used=7 if gpu == "a" else 9),
        )
        monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda gpu: [])


def measured() -> tuple[dict[str, Any], dict[str, int | None]]:
    """Return what is said of a meter's readings of a short wait."""
    with PowerMeter() as meter:
        meter._stop.wait(0.1)
    return dict(described(meter.readings())), meter.memory


def test_the_counter_gives_the_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, each 500 J further: 1 kJ; the peaks are sums of power and the fullest device."""
    Driver(counts=True).install(monkeypatch)
    result, memory = measured()
    assert (result["method"], result["energy_joules"], result["gpus"]) == (
        "energy counter",
        1000.0,
        2,
    )
    assert result["energy_kwh"] == pytest.approx(1000 / 3.6e6)
    assert result["peak_watts"] == 400
    assert memory == {"gpu_device_peak_bytes": 9, "gpu_process_peak_bytes": None}


def test_without_a_counter_power_is_integrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A steady 400 W gives 400 J a second."""
    Driver(counts=False).install(monkeypatch)
    result, _ = measured()
    assert result["method"] == "sampled power"
    assert result["energy_joules"] == pytest.approx(400 * result["seconds"])
    assert result["mean_watts"] == pytest.approx(400)


def test_no_answer_is_not_run_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, or a driver that refuses, is told and stops nothing."""
    monkeypatch.setattr(power, "open_gpus", list)
    assert measured()[0] == {"status": "not_run", "reason": "no GPU"}
    Driver(counts=True).install(monkeypatch)

    def refuse(gpu: str) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", refuse)
    assert measured()[0] == {"status": "not_run", "reason": "NVML: Insufficient Permissions"}
