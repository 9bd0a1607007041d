"""Show how far a training is: a bar on the terminal, and a line in the log every minute."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Context manager that is told of each optimiser step."""

    def __init__(
        self, tokens: int, *, shown: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock.

        `tokens` is what the training reads in all, `shown` is false in all processes but the first.
        """
        self.bar: tqdm[Any] = tqdm(
            total=tokens, desc="train", unit="tok", mininterval=1, disable=not shown
        )
        self.shown = shown
        self.clock = clock
        self.started = clock()
        self.last_line: float | None = None
        self.steps_here = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def step_done(self, step: int, steps: int, loss: float, tokens: int, rate: float) -> None:
        """Show that `step` of `steps` is done; `rate` is its tokens a second."""
        self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.bar.update(tokens)
        self.steps_here += 1
        now = self.clock()
        due = self.last_line is None or now - self.last_line >= SECONDS_BETWEEN_LINES
        if self.shown and (due or step == steps):
            self.last_line = now
            left = (now - self.started) / self.steps_here * (steps - step)
            logger.info(
                "step %d of %d: loss %.4f, %.0f tokens/s, about %s left",
                step,
                steps,
                loss,
                rate,
                timedelta(seconds=round(left)),
            )
