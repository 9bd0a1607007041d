"""Exact negative log-likelihood of labelled tokens, each token with the same weight.

A trainer's `eval_loss` is a mean of batch means and moves with the batch size; this sum does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from lorabench.training.encode import Encoded
from lorabench.training.micro_batches import Rows, best_fit_decreasing, packed_row
from lorabench.training.processes import is_first, over_processes, share


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The likelihood of one data set under one model, by conversation in the order given."""

    # nats, summed over the conversation's labelled tokens
    nll: list[float]
    # labelled tokens
    labels: list[int]

    @property
    def nll_sum(self) -> float:
        """Nats over all labelled tokens."""
        return math.fsum(self.nll)

    @property
    def label_tokens(self) -> int:
        """Labelled tokens of all conversations."""
        return sum(self.labels)


@torch.no_grad()
def likelihood(
    model: torch.nn.Module,
    conversations: Sequence[Encoded],
    rows: Rows,
    attention: str,
    device: torch.device,
    description: str,
) -> Likelihood:
    """Sum the loss over the labelled tokens of each conversation, packed into `rows`.

    The model has the loss forward of `install_label_loss`; its training mode is restored.
    """
    training = model.training
    model.eval()
    bins = best_fit_decreasing([len(item.input_ids) for item in conversations], rows.capacity)
    tokens = sum(len(item.input_ids) for item in conversations)
    nll = [0.0] * len(conversations)
    with tqdm(
        total=tokens, desc=description, unit="tok", mininterval=1, disable=not is_first()
    ) as progress:
        for members, counts in share(bins):
            items = [conversations[index] for index in members]
            batch = packed_row(items, rows)
            found = model(**batch.model_inputs(attention, device))["nll"].double().cpu()
            parts = found.split([item.label_count for item in items])
            for index, part in zip(members, parts, strict=True):
                nll[index] = counts * part.sum().item()
            progress.update(batch.tokens)
    model.train(training)
    return Likelihood(
        nll=over_processes(nll, device), labels=[item.label_count for item in conversations]
    )
