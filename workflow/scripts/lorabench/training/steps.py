"""What each optimiser step learns from, and how it is divided into forward passes."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Sampler

from lorabench.training.encode import Encoded
from lorabench.training.micro_batches import MicroBatch, pack, pad
from lorabench.training.settings import TrainingSettings


class StepSampler(Sampler[list[int]]):
    """The conversations of each optimiser step: a fresh seeded permutation every epoch, cut into
    steps."""

    def __init__(self, conversations: int, per_step: int, seed: int) -> None:
        """Sample `per_step` of `conversations` indices a step; the order depends on `seed` and the
        epoch alone."""
        self.conversations, self.per_step, self.seed, self.epoch = conversations, per_step, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of an epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the optimiser steps in an epoch; the last may be smaller than the others."""
        return -(-self.conversations // self.per_step)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of each step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.conversations, generator=generator).tolist()
        for start in range(0, self.conversations, self.per_step):
            yield order[start : start + self.per_step]


class StepLoader(DataLoader[Encoded]):
    """A data loader that passes the epoch on to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of an epoch."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


class StepPlan:
    """How a step is divided, and how to divide it more finely when memory runs out."""

    def __init__(self, settings: TrainingSettings, pad_token: int, halvings: int = 0) -> None:
        """Start with the settings' size, halved `halvings` times."""
        self.packing, self.pad_token, self.halvings = settings.packing, pad_token, halvings
        self.size = settings.max_seq_length if settings.packing else settings.batch_size

    def divide(self, conversations: Sequence[Encoded]) -> list[MicroBatch]:
        """Return the step's micro-batches, those with most tokens first so that a lack of memory
        shows early."""
        size = max(1, self.size >> self.halvings)
        batches = (
            pack(conversations, size) if self.packing else pad(conversations, size, self.pad_token)
        )
        return sorted(batches, key=lambda batch: -batch.input_ids.numel())

    def halve(self, conversations: Sequence[Encoded]) -> bool:
        """Halve the micro-batch; return False when these conversations cannot be divided more
        finely."""
        passes = len(self.divide(conversations))
        while self.size >> self.halvings > 1:
            self.halvings += 1
            if len(self.divide(conversations)) > passes:
                return True
        return False
