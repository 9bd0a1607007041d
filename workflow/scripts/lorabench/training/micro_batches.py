"""Divide the conversations of one optimiser step into forward passes.

An optimiser step always learns from the same conversations with the same weight for each labelled
token, however they are divided: packed or padded, in large or small passes, on one process or
several. So packing changes speed, not the recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lorabench.training.encode import IGNORED, Encoded


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One forward pass. Packed conversations lie end to end in one row; padded ones each have a row
    of their own."""

    # (rows, length) int64; padding is at the right end
    input_ids: torch.Tensor
    # (rows, length) int64, from 0 in each conversation
    position_ids: torch.Tensor
    document_lengths: (
        list[int] | None
        # tokens of each conversation in the one packed row; None = rows
    )
    predictors: (
        torch.Tensor
        # (labels,) int64: positions in the flattened rows whose next token counts
    )
    # (labels,) int64: those next tokens
    targets: torch.Tensor
    # without padding
    tokens: int

    @property
    def padding(self) -> int:
        """Positions that hold no token."""
        return self.input_ids.numel() - self.tokens


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack items into bins: the longest first, each into the fullest bin that it still fits.

    Returns:
        Bins as lists of indices into `lengths`, each bin's indices ascending. An item longer than
        `capacity` gets a bin of its own.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        fitting = [number for number, free in enumerate(room) if free >= lengths[index]]
        if fitting:
            number = min(fitting, key=lambda item: (room[item], item))
            bins[number].append(index)
            room[number] -= lengths[index]
        else:
            bins.append([index])
            room.append(capacity - lengths[index])
    return [sorted(items) for items in bins]


def pack(conversations: Sequence[Encoded], capacity: int) -> list[MicroBatch]:
    """Pack conversations by best fit into rows of at most `capacity` tokens, one row a pass,
    without padding."""
    bins = best_fit_decreasing([len(item.input_ids) for item in conversations], capacity)
    return [packed_row([conversations[index] for index in items]) for items in bins]


def pad(conversations: Sequence[Encoded], rows: int, pad_token: int) -> list[MicroBatch]:
    """Cut conversations into passes of `rows`, in order, each padded to its longest."""
    return [
        _padded_rows(conversations[start : start + rows], pad_token)
        for start in range(0, len(conversations), rows)
    ]


def packed_row(items: Sequence[Encoded]) -> MicroBatch:
    """Put conversations end to end into one row; labels keep the order of the conversations."""
    ids = torch.tensor([token for item in items for token in item.input_ids])
    labels = torch.tensor([label for item in items for label in item.labels])
    positions = torch.cat([torch.arange(len(item.input_ids)) for item in items])
    predictors = (
        (labels[1:] != IGNORED).nonzero().squeeze(1)
        # the first token of a conversation is never a label
    )
    return MicroBatch(
        input_ids=ids.unsqueeze(0),
        position_ids=positions.unsqueeze(0),
        document_lengths=[len(item.input_ids) for item in items],
        predictors=predictors,
        targets=labels[predictors + 1],
        tokens=len(ids),
    )


def _padded_rows(items: Sequence[Encoded], pad_token: int) -> MicroBatch:
    length = max(len(item.input_ids) for item in items)
    ids = torch.full((len(items), length), pad_token)
    labels = torch.full((len(items), length), IGNORED)
    for row, item in enumerate(items):
        ids[row, : len(item.input_ids)] = torch.tensor(item.input_ids)
        labels[row, : len(item.labels)] = torch.tensor(item.labels)
    predictors = (labels.flatten()[1:] != IGNORED).nonzero().squeeze(1)
    return MicroBatch(
        input_ids=ids,
        position_ids=torch.arange(length).expand(len(items), -1),
        document_lengths=None,
        predictors=predictors,
        targets=labels.flatten()[predictors + 1],
        tokens=sum(len(item.input_ids) for item in items),
    )
