"""Trackers get every step under the run's name and change nothing about the adapter."""

import os
from pathlib import Path
from typing import Any

import pytest

from lorabench.errors import PrerequisiteError
from lorabench.training.tracking import OFF, PACKAGES, environment, open_tracker
from train_adapter import _recipe, train_adapter

pytest_plugins = ["training_fixtures"]


def test_a_missing_package_is_one_line_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is made where the tracker cannot be used."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match=r"bin/pip install wandb==[0-9.]+, or set tracker: null$"):
        open_tracker("wandb", "run", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_tracker_by_default(tmp_path: Path) -> None:
    """Null reports to nobody."""
    assert open_tracker(None, "run", tmp_path) == OFF


@pytest.mark.parametrize("tracker", PACKAGES)
def test_files_stay_in_the_folder(tracker: str, tmp_path: Path) -> None:
    """Every place that a tracker is told lies in its folder; wandb stays offline."""
    variables = environment(tracker, "run", tmp_path / tracker)
    places = [value for name, value in variables.items() if name.endswith(("DIR", "URI"))]
    assert places
    assert all(str(tmp_path / tracker) in place for place in places)
    assert tracker != "wandb" or variables["WANDB_MODE"] == "offline"


def test_the_users_own_variables_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server or mode that the environment names is not replaced."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    for name in environment("wandb", "run", tmp_path):
        monkeypatch.setenv(name, "own")
    open_tracker("wandb", "run", tmp_path)
    assert os.environ["WANDB_MODE"] == "own"


def test_checkpoints_go_on_under_another_tracker(settings: dict[str, Any]) -> None:
    """What does not touch the course of training is no part of the recipe."""
    changed = settings | {"tracker": "wandb", "save_minutes": 5, "adapter_dtype": "bfloat16"}
    assert _recipe(settings, {}, {"sha256": {}}) == _recipe(changed, {}, {"sha256": {}})


def test_tensorboard_gets_steps_and_evaluations(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events hold a value a step of what train_metrics.json holds, and the adapter is the one without a tracker."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # so that it is put back
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    settings["evaluations_per_epoch"] = 1
    for tracker in (None, "tensorboard"):
        folder = tmp_path / str(tracker)
        train_adapter(
            model=tiny_source,
            train=prepared / "train.jsonl",
            validation=prepared / "validation.jsonl",
            adapter=folder / "adapter",
            work=folder / "work",
            run="mine",
            settings=settings | {"tracker": tracker},
            tracking=folder / "tracking",
        )
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "tracking" / "tensorboard" / "mine")).Reload()
    for tag in ("loss", "learning_rate", "grad_norm", "tokens_per_second", "padding_fraction"):
        assert [event.step for event in events.Scalars(f"train/{tag}")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("eval/loss")] == [3, 6]
    fingerprints = {(tmp_path / name / "adapter" / "fingerprint.json").read_bytes() for name in ("None", "tensorboard")}
    assert len(fingerprints) == 1
