"""Send steps and evaluations to an experiment tracker, by transformers' callbacks.

Trackers write below one folder and reach no network unless the environment says otherwise:
WANDB_MODE, MLFLOW_TRACKING_URI and TRACKIO_SPACE_ID, like a tracker's secrets, only come from
there. Each training has its own run, which it continues when it is resumed: steps after the last
checkpoint are then in it twice.
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

from lorabench.errors import PrerequisiteError

# Tracker -> what `pip install` takes: versions that replace none of the packages that training
# computes with.
PACKAGES = {
    "trackio": "trackio==0.43.0",
    "mlflow": "mlflow-skinny==3.17.2",
    "wandb": "wandb==0.31.0",
    "tensorboard": "tensorboard==2.20.0",
}
PROJECT = "lorabench"


def check_tracker(tracker: str | None) -> None:
    """Check before anything is loaded that a tracker can be used.

    Raises:
        PrerequisiteError: its package is not installed.
    """
    if tracker is not None and importlib.util.find_spec(tracker) is None:
        raise PrerequisiteError(
            f"train_adapter.tracker: the package of {tracker} is not installed: "
            f"{sys.prefix}/bin/pip install {PACKAGES[tracker]}, or set tracker: null"
        )


def training_name(run: str, started: str) -> str:
    """Return the name of a tracker's run, by the ISO 8601 time of the training's first start; a
    resume has the same."""
    return f"{run}-{re.sub('[^0-9]', '', started)[:14]}"


def open_tracker(tracker: str, training: str, folder: Path) -> None:
    """Prepare a tracker for the trainer's reports.

    Args:
        tracker: a name of `PACKAGES`.
        training: from `training_name`.
        folder: of all trackers' files; runs of one tracker share a folder, so that it can compare
            them.
    """
    for name, value in environment(tracker, training, (folder / tracker).resolve()).items():
        os.environ.setdefault(name, value)
    if tracker == "mlflow":
        _continue_mlflow_run(training)


def _continue_mlflow_run(training: str) -> None:
    """Choose the run that a killed process left, by name: MLflow makes up the ids itself."""
    import mlflow

    experiment, named = os.environ["MLFLOW_EXPERIMENT_NAME"], f"attributes.run_name = '{training}'"
    runs = mlflow.search_runs(
        experiment_names=[experiment], filter_string=named, output_format="list"
    )
    if runs:
        os.environ.setdefault("MLFLOW_RUN_ID", runs[0].info.run_id)


def environment(tracker: str, training: str, folder: Path) -> dict[str, str]:
    """Return the variables that keep a tracker offline and its files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "trackio": {"TRACKIO_DIR": str(folder)},
        "mlflow": {
            "MLFLOW_TRACKING_URI": folder.as_uri(),
            "MLFLOW_EXPERIMENT_NAME": PROJECT,
            # for a few runs, plain files need no database
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        "wandb": {
            "WANDB_MODE": "offline",
            "WANDB_PROJECT": PROJECT,
            "WANDB_RUN_ID": training,
            "WANDB_RESUME": "allow",
            **{
                f"WANDB_{kind}DIR": str(folder)
                for kind in ("", "CACHE_", "CONFIG_", "DATA_", "ARTIFACT_")
            },
        },
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(folder / training)},
    }[tracker]
