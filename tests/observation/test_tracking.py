"""Trackers get every step under the run's name and change nothing about the adapter."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from lorabench.errors import PrerequisiteError
from lorabench.observation.tracking import (
    PACKAGES,
    check_tracker,
    environment,
    open_tracker,
    training_name,
)
from lorabench.training import checkpoints
from lorabench.training.checkpoints import open_work_folder, read_history
from train_adapter import _recipe
from training_fixtures import train

pytest_plugins = ["training_fixtures"]


def test_a_missing_package_is_one_line_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command names the environment that training runs in."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        PrerequisiteError, match=r"bin/pip install wandb==[0-9.]+, or set tracker: null$"
    ):
        check_tracker("wandb")


def test_no_tracker_by_default() -> None:
    """Null needs no package."""
    check_tracker(None)


@pytest.mark.parametrize("tracker", PACKAGES)
def test_files_stay_in_the_folder(tracker: str, tmp_path: Path) -> None:
    """Every place that a tracker gets is in its folder; wandb stays offline."""
    variables = environment(tracker, "run", tmp_path / tracker)
    places = [value for name, value in variables.items() if name.endswith(("DIR", "URI"))]
    assert places
    assert all(str(tmp_path / tracker) in place for place in places)
    assert tracker != "wandb" or variables["WANDB_MODE"] == "offline"


def test_the_users_own_variables_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server or mode that the environment names is not replaced."""
    for name in environment("wandb", "run", tmp_path):
        monkeypatch.setenv(name, "own")
    open_tracker("wandb", "run", tmp_path)
    assert os.environ["WANDB_MODE"] == "own"


def test_a_resumed_training_has_the_name_that_it_began_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start names it; another recipe empties the folder, and its training is another."""
    names = []
    for recipe, time in (
        (1, "2026-01-02T03:04:05+00:00"),
        (1, "2026-01-02T09:00:00+00:00"),
        (2, "2026-01-03T00:00:00Z"),
    ):
        monkeypatch.setattr(checkpoints, "now", lambda time=time: time)
        open_work_folder(tmp_path, {"recipe": recipe})
        names.append(training_name("mine", read_history(tmp_path)[0]["time"]))
    assert names == ["mine-20260102030405", "mine-20260102030405", "mine-20260103000000"]


def test_wandb_continues_the_run_of_that_name(tmp_path: Path) -> None:
    """Its id is the training's name, which a resume shares."""
    variables = environment("wandb", "mine-20260102030405", tmp_path)
    assert (variables["WANDB_RUN_ID"], variables["WANDB_RESUME"]) == (
        "mine-20260102030405",
        "allow",
    )


def test_mlflow_continues_the_run_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run left open is found by its name; another training finds none."""
    mlflow = pytest.importorskip("mlflow")
    for name in (*environment("mlflow", "", tmp_path), "MLFLOW_RUN_ID"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    open_tracker("mlflow", "mine-1", tmp_path)
    assert "MLFLOW_RUN_ID" not in os.environ
    mlflow.set_experiment("lorabench")
    left = mlflow.start_run(run_name="mine-1").info.run_id
    mlflow.end_run("RUNNING")
    open_tracker("mlflow", "mine-2", tmp_path)
    assert "MLFLOW_RUN_ID" not in os.environ
    open_tracker("mlflow", "mine-1", tmp_path)
    assert os.environ["MLFLOW_RUN_ID"] == left


def test_checkpoints_go_on_under_another_saved_precision(
    settings: dict[str, Any],
) -> None:
    """What does not touch the course of training is no part of the recipe."""
    changed = settings | {"adapter_dtype": "bfloat16"}
    assert _recipe(settings, {}, {"sha256": {}}) == _recipe(changed, {}, {"sha256": {}})


def test_tensorboard_gets_steps_and_evaluations(
    tiny_source: Path,
    prepared: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The events hold what train_metrics.json holds; the adapter is unchanged."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # so that it is put back
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    settings["evaluations_per_epoch"] = 1
    for tracker in (None, "tensorboard"):
        folder = tmp_path / str(tracker)
        train(tiny_source, prepared, folder, settings | {"tracker": tracker})
    [training] = (tmp_path / "tensorboard" / "tracking" / "tensorboard").iterdir()
    assert re.fullmatch(r"test-\d{14}", training.name)
    events = accumulator.EventAccumulator(str(training)).Reload()
    for tag in ("loss", "learning_rate", "grad_norm", "tokens_per_second", "padding_fraction"):
        assert [event.step for event in events.Scalars(f"train/{tag}")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("eval/loss")] == [3, 6]
    fingerprints = {
        (tmp_path / name / "adapter" / "fingerprint.json").read_bytes()
        for name in ("None", "tensorboard")
    }
    assert len(fingerprints) == 1
