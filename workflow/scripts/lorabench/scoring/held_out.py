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

from lorabench.documents.train_metrics import ConversationLikelihood, Trained, TrainMetrics
from lorabench.uncertainty import Estimate, ratio_estimate

# Two imagined conversations of average length, one better and one worse by this much (nat a token),
# keep the interval open where the few that were seen agree; see `significance.paired_difference`.
IMAGINED = 0.4
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
    average = sum(tokens) / len(tokens)
    widened = ratio_estimate(
        [*differences, IMAGINED * average, -IMAGINED * average],
        [*tokens, average, average],
        confidence,
    )
    method = f"{widened.method}, corrected for skewness, two imagined conversations"
    low, high = widened.interval or (-math.inf, math.inf)
    half = (high - low) / 2
    shift = _skewness_shift(differences, tokens, half / (widened.standard_error or 1.0))
    shift *= widened.standard_error or 0.0
    return replace(change, interval=(low + shift, high + shift), method=method)


def _skewness_shift(
    differences: Sequence[float], tokens: Sequence[float], quantile: float
) -> float:
    """Return by how many standard errors both bounds move where the conversations' contributions
    are skewed: skewness (2 q^2 + 1) / 6, the Edgeworth term of a studentised mean (Hall 1992).

    A few conversations that lose much are seldom seen; an interval of those that were seen is too
    low.
    """
    ratio = sum(differences) / sum(tokens)
    residuals = [by - ratio * size for by, size in zip(differences, tokens, strict=True)]
    # with the imagined conversations: the skewness of a few is hardly known
    squares = 2 * (IMAGINED * sum(tokens) / len(tokens)) ** 2
    squares += sum(residual**2 for residual in residuals)
    skewness = sum(residual**3 for residual in residuals) / squares**1.5
    return skewness * (2 * quantile**2 + 1) / 6
