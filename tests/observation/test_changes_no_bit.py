"""Observers change no bit of an adapter: without any of them, the same files are made."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from train_adapter import train_adapter

pytest_plugins = ["training_fixtures"]


class Nothing(dict[str, Any]):
    """Whatever an observer may be asked for: it is called, entered and read, and does nothing."""

    def __call__(self, *_: object, **__: object) -> "Nothing":
        """Do nothing."""
        return self

    def __getattr__(self, name: str) -> "Nothing":
        return self

    def __enter__(self) -> "Nothing":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def silence(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Replace every function and class of the observers wherever training imported it."""
    replaced = set()
    for place, module in list(sys.modules.items()):
        if place != "train_adapter" and not place.startswith("lorabench.training"):
            continue
        for name, value in list(vars(module).items()):
            if str(getattr(value, "__module__", "")).startswith("lorabench.observation"):
                callback = isinstance(value, type) and issubclass(value, TrainerCallback)
                instead: Any = (lambda *_: TrainerCallback()) if callback else Nothing()
                monkeypatch.setattr(module, name, instead)
                replaced.add(name)
    return replaced


@pytest.mark.parametrize("changes", [{}, {"evaluations_per_epoch": 1, "keep_best": True}])
def test_the_same_adapter_without_observers(
    tiny_source: Path,
    prepared: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    """Byte for byte, with and without evaluations on the way."""
    torch.set_num_threads(1)
    made = []
    for name in ("observed", "alone"):
        if name == "alone":
            assert {"PowerMeter", "StepMeter", "Progress", "machine_readings"} <= silence(
                monkeypatch
            )
        train_adapter(
            model=tiny_source,
            train=prepared / "train.jsonl",
            validation=prepared / "validation.jsonl",
            adapter=tmp_path / name / "adapter",
            work=tmp_path / name / "work",
            tracking=tmp_path / name / "tracking",
            run="test",
            settings=settings | changes,
        )
        files = ("adapter_model.safetensors", "adapter_config.json", "fingerprint.json")
        made.append([(tmp_path / name / "adapter" / file).read_bytes() for file in files])
    assert made[0] == made[1]
