"""Publish the adapter: results/{run}/adapter/ -> artifacts/lora-{run}/.

The folder holds what other tools load (adapter_config.json, adapter_model.safetensors) and what
tells how it was made (run_config.json, train_metrics.json, README.md). Weights are hard links where
the file system allows, so that nothing large is stored twice.
"""

from collections.abc import Sequence
from pathlib import Path

from lorabench.arguments import Folder
from lorabench.job import run_job
from lorabench.publishing import publish_file


def export_adapter(*, files: Sequence[Path], folder: Folder) -> None:
    """Publish `files` in `folder` under their own names."""
    for file in files:
        publish_file(file, folder / file.name)


if __name__ == "__main__":
    run_job(snakemake, export_adapter, unused=("settings",))
