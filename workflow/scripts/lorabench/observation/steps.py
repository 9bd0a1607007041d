"""What the trainer's log says of an optimiser step, besides its loss."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from lorabench.observation.gpu_idle import IdleMeter


class StepMeter(IdleMeter):
    """Counts what each step read, and the time that it took."""

    def __init__(self, device: torch.device) -> None:
        """Measure on `device`."""
        super().__init__(device)
        self.began = 0.0
        self.counts: dict[str, float] = {}

    def step_begins(self) -> None:
        """Start the clock."""
        super().step_begins()
        self.began = time.monotonic()

    def count(self, conversations: Sequence[Any], batches: Sequence[Any]) -> None:
        """Count a step's conversations and the micro-batches that they were divided into."""
        tokens = sum(batch.tokens for batch in batches)
        padding = sum(batch.padding for batch in batches)
        self.counts = {
            "tokens": tokens,
            "label_tokens": sum(len(batch.targets) for batch in batches),
            "conversations": len(conversations),
            "micro_batches": len(batches),
            "padding_fraction": padding / (tokens + padding),
        }

    def step(self) -> dict[str, float]:
        """Return counts and time of the step that was counted last."""
        seconds = time.monotonic() - self.began
        rate = self.counts["tokens"] / seconds
        return self.counts | {"seconds": seconds, "tokens_per_second": rate}
