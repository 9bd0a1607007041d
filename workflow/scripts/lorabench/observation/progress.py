"""Show how far a training is: a bar on the terminal, and a line in the log every minute."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class Progress(TrainerCallback):
    """Shows each optimiser step that the trainer logs; the first process only."""

    def __init__(self, tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Count up to `tokens`, which the training reads in all."""
        self.tokens, self.clock = tokens, clock
        self.last_line: float | None = None
        self.steps_here = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock and the bar."""
        self.started = self.clock()
        self.bar: tqdm[Any] = tqdm(
            total=self.tokens,
            desc="train",
            unit="tok",
            mininterval=1,
            disable=not state.is_world_process_zero,
        )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Show a step that is done; evaluations and the end are logged, too."""
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs or not state.is_world_process_zero:
            return
        self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        self.bar.update(logs["tokens"])
        self.steps_here += 1
        step, steps, now = state.global_step, state.max_steps, self.clock()
        due = self.last_line is None or now - self.last_line >= SECONDS_BETWEEN_LINES
        if due or step == steps:
            self.last_line = now
            left = (now - self.started) / self.steps_here * (steps - step)
            logger.info(
                "step %d of %d: loss %.4f, %.0f tokens/s, about %s left",
                step,
                steps,
                logs["loss"],
                logs["tokens_per_second"],
                timedelta(seconds=round(left)),
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """End the bar."""
        self.bar.close()
