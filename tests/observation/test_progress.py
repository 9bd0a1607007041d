"""A long training says every minute how far it is."""

import logging
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from lorabench.observation.progress import Progress


def lines_of(
    caplog: pytest.LogCaptureFixture, folder: Path, steps: int, *, first: bool
) -> list[str]:
    """Return what a process says of a training of some steps; the clock is made up."""
    now = 0.0
    caplog.set_level(logging.INFO)
    progress = Progress(1000, clock=lambda: now)
    state = TrainerState(max_steps=steps, is_world_process_zero=first)
    given = (TrainingArguments(output_dir=str(folder)), state, TrainerControl())
    progress.on_train_begin(*given)
    for state.global_step in range(1, steps + 1):
        now += 25.0
        logs = {"loss": 2.0, "tokens": 100, "tokens_per_second": 4.0}
        progress.on_log(*given, logs=logs)
        progress.on_log(*given, logs={"eval_loss": 2.0})
    progress.on_train_end(*given)
    return [record.getMessage() for record in caplog.records if "step" in record.getMessage()]


def test_a_line_a_minute_says_loss_speed_and_time_left(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The first step, one a minute, and the last; evaluations have no line."""
    lines = lines_of(caplog, tmp_path, 10, first=True)
    assert [line.split(":")[0] for line in lines] == [
        "step 1 of 10",
        "step 4 of 10",
        "step 7 of 10",
        "step 10 of 10",
    ]
    assert lines[1] == "step 4 of 10: loss 2.0000, 4 tokens/s, about 0:02:30 left"


def test_other_processes_say_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """One line for all processes."""
    assert lines_of(caplog, tmp_path, 1, first=False) == []
