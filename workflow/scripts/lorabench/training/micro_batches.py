"""What each optimiser step learns from, and how it is divided into forward passes.

An optimiser step always learns from the same conversations with the same weight for each labelled
token, however they are divided: packed or padded, in large or small passes, on one process or
several. So packing changes speed, not the recipe.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader, Sampler

from lorabench.training.attention import DOCUMENT_SDPA, VARLEN
from lorabench.training.encode import IGNORED, Encoded


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Sizes of the rows that a model gets."""

    # tokens of a packed row
    capacity: int
    # no conversation has more tokens
    longest: int
    # rows are filled up to a multiple of this, so that they come in few lengths
    multiple: int = 1

    def filled(self, tokens: int) -> int:
        """Return the length of a row that holds `tokens`."""
        return -(-tokens // self.multiple) * self.multiple


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One forward pass.

    Packed conversations follow each other in one row; padded ones each have their own row.
    """

    # (rows, length) int64; padding is at the right end
    input_ids: torch.Tensor
    # (rows, length) int64, from 0 in each conversation
    position_ids: torch.Tensor
    # tokens of what attention keeps apart, in the order of the flattened rows: the conversations
    # of the one packed row and its padding, or the padded rows
    documents: list[int]
    # no document of any pass has more tokens
    longest: int
    # (labels,) int64: positions in the flattened rows whose next token counts
    predictors: torch.Tensor
    # (labels,) int64: those next tokens
    targets: torch.Tensor
    # without padding
    tokens: int

    @property
    def padding(self) -> int:
        """Positions that hold no token."""
        return self.input_ids.numel() - self.tokens

    def model_inputs(self, attention: str, device: torch.device) -> dict[str, Any]:
        """Return the arguments of the loss forward (`install_label_loss`), on `device`.

        With them come those by which an attention knows where documents begin.
        """
        names = ("input_ids", "position_ids", "predictors", "targets")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        if attention == VARLEN:
            ends = torch.tensor([0, *itertools.accumulate(self.documents)], dtype=torch.int32)
            given |= {"boundaries": ends, "longest": self.longest}
        elif attention == DOCUMENT_SDPA and len(self.input_ids) == 1:
            given["document_lengths"] = self.documents
        # other attentions read the boundaries from position_ids
        return dict(send_to_device(given, device, non_blocking=True))


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack items into bins: the longest first, each into the fullest bin that it still fits.

    Bins are ascending indices into `lengths`; what is longer than `capacity` has its own bin.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        fitting = [number for number, free in enumerate(room) if free >= lengths[index]]
        number = min(fitting, key=lambda item: (room[item], item), default=len(bins))
        if number == len(bins):
            bins.append([])
            room.append(capacity)
        bins[number].append(index)
        room[number] -= lengths[index]
    return [sorted(items) for items in bins]


def pack(conversations: Sequence[Encoded], rows: Rows) -> list[MicroBatch]:
    """Pack conversations by best fit, one row a pass, filled up to a multiple."""
    bins = best_fit_decreasing([len(item.input_ids) for item in conversations], rows.capacity)
    return [packed_row([conversations[index] for index in items], rows) for items in bins]


def packed_row(items: Sequence[Encoded], rows: Rows) -> MicroBatch:
    """Put conversations end to end into one row; labels keep the order of the conversations."""
    ids = [token for item in items for token in item.input_ids]
    labels = [label for item in items for label in item.labels]
    documents = [len(item.input_ids) for item in items]
    if padding := rows.filled(len(ids)) - len(ids):
        # any token: nothing looks at it, and it is no label
        ids += ids[:1] * padding
        labels += [IGNORED] * padding
        documents.append(padding)
    return _micro_batch(items, [ids], [labels], documents, max(rows.longest, rows.multiple))


def padded_rows(items: Sequence[Encoded], rows: Rows, pad_token: int) -> MicroBatch:
    """Give each conversation its own row, padded to the longest."""
    length = rows.filled(max(len(item.input_ids) for item in items))
    padding = [length - len(item.input_ids) for item in items]
    ids = [item.input_ids + [pad_token] * n for item, n in zip(items, padding, strict=True)]
    labels = [item.labels + [IGNORED] * n for item, n in zip(items, padding, strict=True)]
    return _micro_batch(items, ids, labels, [length] * len(items), rows.filled(rows.longest))


def _micro_batch(
    items: Sequence[Encoded],
    ids: list[list[int]],
    labels: list[list[int]],
    documents: list[int],
    longest: int,
) -> MicroBatch:
    input_ids, flat_labels = torch.tensor(ids), torch.tensor(labels).flatten()
    # the first token of a conversation is never a label
    predictors = (flat_labels[1:] != IGNORED).nonzero().squeeze(1)
    return MicroBatch(
        input_ids=input_ids,
        position_ids=torch.cat([torch.arange(length) for length in documents]).view_as(input_ids),
        documents=documents,
        longest=longest,
        predictors=predictors,
        targets=flat_labels[predictors + 1],
        tokens=sum(len(item.input_ids) for item in items),
    )


class StepSampler(Sampler[list[int]]):
    """The conversations of each step: a new seeded permutation every epoch, cut into steps."""

    def __init__(self, conversations: int, per_step: int, seed: int) -> None:
        """Sample `per_step` conversations a step; only seed and epoch decide the order."""
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


@dataclass(kw_only=True)
class StepPlan:
    """How a step is divided, and how to divide it more finely when memory runs out."""

    rows: Rows
    # conversations of a padded pass, filled up with `pad_token`; None = rows are packed
    padded_rows: int | None
    pad_token: int
    # how often the pass was halved
    halvings: int

    @property
    def size(self) -> int:
        """The tokens of a packed row, or the rows of a padded pass, before halvings."""
        return self.rows.capacity if self.padded_rows is None else self.padded_rows

    def divide(self, conversations: Sequence[Encoded]) -> list[MicroBatch]:
        """Return the step's micro-batches, largest first, so that a lack of memory shows early."""
        size = max(1, self.size >> self.halvings)
        if self.padded_rows is None:
            batches = pack(conversations, replace(self.rows, capacity=size))
        else:
            parts = [conversations[at : at + size] for at in range(0, len(conversations), size)]
            batches = [padded_rows(part, self.rows, self.pad_token) for part in parts]
        return sorted(batches, key=lambda batch: -batch.input_ids.numel())

    def halve(self, conversations: Sequence[Encoded]) -> bool:
        """Halve the micro-batch; return False if these conversations cannot be divided more."""
        passes = len(self.divide(conversations))
        while self.size >> self.halvings > 1:
            self.halvings += 1
            if len(self.divide(conversations)) > passes:
                return True
        return False
