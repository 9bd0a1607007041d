"""Send the steps and evaluations of a training run to an experiment tracker, through transformers' own callbacks.

Trackers write below one folder and reach no network unless the environment says otherwise: WANDB_MODE,
MLFLOW_TRACKING_URI and TRACKIO_SPACE_ID, like a tracker's secrets, come from there alone.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from lorabench.errors import PrerequisiteError

# Tracker -> what `pip install` takes: versions that replace none of the packages that training computes with.
PACKAGES = {
    "trackio": "trackio==0.43.0",
    "mlflow": "mlflow-skinny==3.17.2",
    "wandb": "wandb==0.31.0",
    "tensorboard": "tensorboard==2.20.0",
}
PROJECT = "lorabench"
OFF: dict[str, Any] = {"report_to": "none"}


def open_tracker(tracker: str | None, run: str, folder: Path) -> dict[str, Any]:
    """Prepare a tracker and return the trainer's arguments that make it report there under the run's name.

    Args:
        tracker: a name of `PACKAGES`, None = no tracker.
        run: the run's name.
        folder: of all trackers' files; runs of one tracker share a folder, so that it can compare them.

    Raises:
        PrerequisiteError: the tracker's package is not installed.
    """
    if tracker is None:
        return OFF
    if importlib.util.find_spec(tracker) is None:
        raise PrerequisiteError(
            f"train_adapter.tracker: the package of {tracker} is not installed: "
            f"{sys.prefix}/bin/pip install {PACKAGES[tracker]}, or set tracker: null"
        )
    for name, value in environment(tracker, run, (folder / tracker).resolve()).items():
        os.environ.setdefault(name, value)
    return {"report_to": tracker, "run_name": run, "project": PROJECT}


def environment(tracker: str, run: str, folder: Path) -> dict[str, str]:
    """Return the variables that keep a tracker offline and its files in `folder`, which is absolute and made here."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "trackio": {"TRACKIO_DIR": str(folder)},
        "mlflow": {
            "MLFLOW_TRACKING_URI": folder.as_uri(),
            "MLFLOW_EXPERIMENT_NAME": PROJECT,
            "MLFLOW_ALLOW_FILE_STORE": "true",  # for a few runs, plain files need no database
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        "wandb": {
            "WANDB_MODE": "offline",
            "WANDB_PROJECT": PROJECT,
            **{f"WANDB_{kind}DIR": str(folder) for kind in ("", "CACHE_", "CONFIG_", "DATA_", "ARTIFACT_")},
        },
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(folder / run)},
    }[tracker]
