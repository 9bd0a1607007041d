"""Checkpoints: made every few minutes, marked when whole, found again by the same recipe only."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorabench.files import read_json, sha256_json, write_json
from lorabench.observation.machine import now

logger = logging.getLogger(__name__)

# written last: a checkpoint without it was cut off while it was written
MARKER = "complete"
RECIPE = "recipe.json"
HISTORY = "history.json"


class SaveByTheMinute(TrainerCallback):
    """Ask for a checkpoint every `minutes`, and mark it when it is complete."""

    def __init__(self, minutes: float) -> None:
        """Start the clock; 0 minutes means after every step."""
        self.seconds = minutes * 60
        self.last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for a checkpoint when it is time, and after the last step."""
        due = [time.monotonic() - self.last >= self.seconds or state.global_step >= state.max_steps]
        # the processes' clocks differ
        broadcast_object_list(due)
        control.should_save = control.should_save or due[0]
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Mark the checkpoint that all processes have just written."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / MARKER).touch()
        self.last = time.monotonic()


def open_work_folder(work: Path, recipe: dict[str, Any]) -> Path | None:
    """Prepare the folder for a recipe and return its newest whole checkpoint, if there is one.

    Checkpoints of another recipe and those cut off while being written are deleted; the start is
    noted in the history.
    """
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.main_process_first():
        identity = sha256_json(recipe)
        if (work / RECIPE).is_file() and read_json(work / RECIPE).get("sha256") != identity:
            why = "another recipe (settings, data or base model changed)"
            logger.warning("%s holds checkpoints of %s: starting anew", work, why)
            shutil.rmtree(work)
        write_json(work / RECIPE, {"schema_version": 1, "sha256": identity, "recipe": recipe})
        for folder in work.glob("checkpoint-*"):
            if not (folder / MARKER).is_file():
                shutil.rmtree(folder)
        newest = max(work.glob("checkpoint-*"), key=step_of, default=None)
        if state.is_main_process:
            name, event = (newest.name, "resumed") if newest else (None, "started")
            add_to_history(work, {"event": event, "checkpoint": name})
    return newest


def step_of(checkpoint: Path) -> int:
    """Return the optimiser steps that were done when a checkpoint was made."""
    return int(checkpoint.name.rpartition("-")[2])


def read_history(work: Path) -> list[dict[str, Any]]:
    """Return what happened to this training run so far: starts, resumes and memory shortages."""
    return read_json(work / HISTORY) if (work / HISTORY).is_file() else []


def add_to_history(work: Path, event: dict[str, Any]) -> None:
    """Append an event with the time, so that it outlives a killed process."""
    write_json(work / HISTORY, [*read_history(work), event | {"time": now()}])
