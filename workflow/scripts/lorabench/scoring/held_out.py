"""The change of the loss on held-out conversations, with its interval.

One number a conversation and model: the sum of the negative log-likelihoods of its answer tokens.
The change is the sum of all differences over the sum of all answer tokens (a ratio of sums, as the
loss a token is), its error that of whole conversations: tokens of one conversation are not
independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy import optimize, stats

from lorabench.documents.train_metrics import ConversationLikelihood, Trained, TrainMetrics
from lorabench.uncertainty import Estimate, Floats, ratio_estimate

# of the worst loss a token that was seen: an unseen one may be worse
WORSE = 1.5
# as for every difference of means
FEWEST_UNITS = 6


def held_out_conversations(
    train_metrics: TrainMetrics | None,
) -> list[ConversationLikelihood] | None:
    """Return {id, label_tokens, base_nll_sum, adapter_nll_sum} of each held-out conversation, None
    where the record has none."""
    trained = recorded_training(train_metrics)
    found = trained["likelihood"]["validation"].get("conversations") if trained else None
    return found or None


def recorded_training(train_metrics: TrainMetrics | None) -> Trained | None:
    """Return the record of a training; None where there is none, or where what an imported adapter
    brought is no record of this pipeline."""
    if train_metrics is None or train_metrics.get("status") != "ok":
        return None
    return cast(Trained, train_metrics)


def loss_change(conversations: Sequence[Mapping[str, Any]], confidence: float) -> Estimate:
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
    interval = (-_upper_bound(-changes, sizes, tail), _upper_bound(changes, sizes, tail))
    method = "ratio of sums, Gaffke's bounds with an unseen conversation"
    return replace(change, interval=interval, method=method)


def _upper_bound(differences: Floats, tokens: Floats, tail: float) -> float:
    """Return the change above which the true one is with a probability of at most `tail`.

    Rare conversations may lose much, and a sample can have missed them, so that its spread says
    too little. Gaffke's bound of a mean (2005; Learned-Miller and Thomas 2019, arXiv:1905.06208)
    gives every conversation and an unseen one a random weight (exponential) and takes the quantile
    of the weighted ratio. For losses that happen or not it is Clopper and Pearson's bound. It needs
    the worst that can happen, which is chosen here: an unseen conversation loses a token WORSE
    times the largest loss that was seen, at the length of the one that a token is in on average;
    or log(n) / 3 nat at the average length (0.9 of 13, 2.1 of 500): the more were seen, the rarer,
    and so possibly the worse, is what was not.
    """
    average, of_a_token = tokens.mean(), np.square(tokens).sum() / tokens.sum()
    worst, least = WORSE * (differences / tokens).max(), math.log(len(tokens)) / 3

    def missing(ratio: float) -> float:
        """Return how much less than 1 - tail of the weighted ratios are below `ratio`."""
        residuals = differences - ratio * tokens
        unseen = max(
            (worst - ratio) * of_a_token, (least - ratio) * average, float(residuals.max())
        )
        return 1 - tail - _share_below_zero(np.append(residuals, unseen))

    start = float(differences.sum() / tokens.sum())
    # the most that any conversation, seen or not, can lose a token
    end = max(worst, least, float((differences / tokens).max())) + 1e-9
    return float(optimize.brentq(missing, start, end, xtol=1e-9))


def _share_below_zero(values: Floats) -> float:
    """Return the probability that a sum of values with exponential weights is below 0, by its
    saddlepoint (Lugannani and Rice 1980).

    The cumulants' function is -sum of log(1 - s value).
    """
    if values.max() <= 0 or values.min() >= 0:
        return float(values.max() <= 0)
    edge = 1 - 1e-12
    point = optimize.brentq(
        lambda s: (values / (1 - s * values)).sum(), edge / values.min(), edge / values.max()
    )
    factors = 1 - point * values
    root = np.sign(point) * np.sqrt(max(0.0, 2 * np.log(factors).sum()))
    slope = point * np.sqrt(np.square(values / factors).sum())
    # at the mean the formula is 0 / 0
    correction = 1 / root - 1 / slope if abs(root) > 1e-4 else 0.0
    return float(stats.norm.cdf(root) + stats.norm.pdf(root) * correction)
