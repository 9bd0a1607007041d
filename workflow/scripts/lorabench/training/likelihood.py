"""Exact negative log-likelihood of the labelled tokens of a set of conversations, each token with
the same weight.

A trainer's `eval_loss` is a mean of batch means and moves with the batch size; this sum does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from lorabench.training.attention import boundaries
from lorabench.training.encode import Encoded
from lorabench.training.micro_batches import MicroBatch, pack
from lorabench.training.processes import is_first, share, sum_over_processes


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The likelihood of one data set under one model."""

    # nats, over all labelled tokens
    nll_sum: float
    label_tokens: int
    conversations: int

    def as_json(self) -> dict[str, float]:
        """Return the sum, the mean in nats a token and the perplexity exp(mean)."""
        mean = self.nll_sum / self.label_tokens
        return {
            "nll_per_token": mean,
            "perplexity": math.exp(mean),
            "nll_sum": self.nll_sum,
            "label_tokens": self.label_tokens,
            "conversations": self.conversations,
        }


def model_inputs(batch: MicroBatch, attention: str, device: torch.device) -> dict[str, Any]:
    """Return the arguments of the loss forward (`install_label_loss`) for a micro-batch, on
    `device`."""
    return {
        "input_ids": batch.input_ids.to(device, non_blocking=True),
        "position_ids": batch.position_ids.to(device, non_blocking=True),
        "predictors": batch.predictors.to(device, non_blocking=True),
        "targets": batch.targets.to(device, non_blocking=True),
        **boundaries(attention, batch, device),
    }


@torch.no_grad()
def likelihood(
    model: torch.nn.Module,
    conversations: Sequence[Encoded],
    capacity: int,
    attention: str,
    device: torch.device,
    description: str,
) -> Likelihood:
    """Sum the loss over `conversations`, packed into rows of `capacity` tokens; the training mode
    is restored.

    Args:
        model: a model with the loss forward of `install_label_loss`.
        attention: see `lorabench.training.attention`.
        description: words for the progress bar.
    """
    training = model.training
    model.eval()
    total = 0.0
    batches = pack(conversations, capacity)
    tokens = sum(batch.tokens for batch in batches)
    with tqdm(
        total=tokens, desc=description, unit="tok", mininterval=1, disable=not is_first()
    ) as progress:
        for batch, counts in share(batches):
            total += counts * model(**model_inputs(batch, attention, device))["loss"].item()
            progress.update(batch.tokens)
    total = sum_over_processes(total, device)
    model.train(training)
    labels = sum(len(batch.targets) for batch in batches)
    return Likelihood(nll_sum=total, label_tokens=labels, conversations=len(conversations))
