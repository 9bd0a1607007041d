"""The change of the loss on held-out conversations, with its interval.

One number a conversation and model: the sum of the negative log-likelihoods of its answer tokens.
The change is the sum of all differences over the sum of all answer tokens (a ratio of sums, as the
loss a token is), its error that of whole conversations: tokens of one conversation are not
independent.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from lorabench.documents.train_metrics import ConversationLikelihood, Trained, TrainMetrics
from lorabench.scoring.unseen import upper_bound
from lorabench.uncertainty import Estimate, Floats, ratio_estimate

# of the worst loss a token that was seen: an unseen one may be worse
WORSE = 1.5
# as for every difference of means
FEWEST_UNITS = 6


def held_out_conversations(
    train_metrics: TrainMetrics | None,
) -> list[ConversationLikelihood] | None:
    """Return the likelihoods of each held-out conversation, None where the record has none."""
    trained = recorded_training(train_metrics)
    found = trained["likelihood"]["validation"].get("conversations") if trained else None
    return found or None


def recorded_training(train_metrics: TrainMetrics | None) -> Trained | None:
    """Return the record of a training, None where there is none.

    What an imported adapter brought may be no record of this pipeline.
    """
    if train_metrics is None or not {"likelihood", "totals", "steps"} <= train_metrics.keys():
        return None
    return cast(Trained, train_metrics)


def loss_change(conversations: Sequence[ConversationLikelihood], confidence: float) -> Estimate:
    """Return adapter - base in nat an answer token; below 0 the adapter fits better.

    Raises:
        DataError: a sum is not finite, or a conversation has no answer token.
    """
    differences = [row["adapter_nll_sum"] - row["base_nll_sum"] for row in conversations]
    tokens = [row["label_tokens"] for row in conversations]
    change = ratio_estimate(differences, tokens, confidence)
    if change.clusters < FEWEST_UNITS:
        return replace(change, interval=None)
    changes, sizes = np.asarray(differences, dtype=float), np.asarray(tokens, dtype=float)
    tail = (1 - confidence) / 2
    low = -upper_bound(-changes, sizes, _unseen(-changes, sizes), tail)
    high = upper_bound(changes, sizes, _unseen(changes, sizes), tail)
    method = "ratio of sums, Gaffke's bounds with an unseen conversation"
    return replace(change, interval=(low, high), method=method)


def unseen_change(conversations: int) -> float:
    """Return the nat a token that a conversation may change by, at least, that was not seen.

    log(n) / 3: 0.9 of 13 conversations, 2.1 of 500. The more were seen, the rarer, and so possibly
    the worse, is what was not.
    """
    return math.log(conversations) / 3


def _unseen(changes: Floats, tokens: Floats) -> list[tuple[float, float]]:
    """Return how many nat a token, and at which length, a conversation may lose that was not seen.

    WORSE times the largest loss that was seen, at the length of the conversation that a token is
    in on average; and `unseen_change` at the average length.
    """
    of_a_token = float(np.square(tokens).sum() / tokens.sum())
    return [
        (WORSE * float((changes / tokens).max()), of_a_token),
        (unseen_change(len(tokens)), float(tokens.mean())),
    ]
