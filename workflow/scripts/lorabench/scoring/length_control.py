"""AlpacaEval 2's length-controlled win rate (arXiv 2404.04475), as alpaca_eval 0.6.6 fits it.

A logistic model of the preference with three terms, tanh of the standardised length difference, the
instruction's difficulty and a constant, is fitted by L1-penalised logistic regression (liblinear,
the penalty by 5-fold cross-validation), together with AlpacaEval's annotations of two gamed
baselines as a regulariser. The win rate is the mean prediction at no length difference.

Sound only on all 805 instructions in their order (the difficulty goes by position), against the
published reference, and with the regulariser file that the difficulties come from; else there is no
length-controlled win rate.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from lorabench.documents.item_result import ItemResult
from lorabench.files import sha256_json
from lorabench.scoring.regulariser_file import check_regulariser_file
from lorabench.uncertainty import Floats, mean_estimate

# Of the JSON list of the 805 reference outputs' numbers of characters: proves the items, their
# order and the reference.
REFERENCE_LENGTHS_SHA256 = "8e03fb585b5a2d961eed76a231d8c292aee4994736d3c29769007730027a6724"
# of a gamed row: alpaca_eval's lambda over its two gamed baselines
GAMED_WEIGHT = 0.2 / 2
FOLDS = 5
# inverse penalties that cross-validation chooses from
STRENGTHS = np.logspace(-4, 4, 10)
SEED = 123


@dataclass(frozen=True, kw_only=True)
class Regulariser:
    """What AlpacaEval adds to a fit: difficulties and the rows of two gamed baselines."""

    # [805], by position
    difficulty: Floats
    # [gamed rows, 3]
    features: Floats
    # [gamed rows]; not-a-number without one
    preferences: Floats


def read_regulariser(path: Path) -> Regulariser:
    """Return AlpacaEval's df_gamed.csv.

    Raises:
        DataError: as `check_regulariser_file`.
    """
    check_regulariser_file(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # the first rows are the first baseline's, one an instruction, in order
    items = len({row["index"] for row in rows})
    columns = [
        [
            np.tanh(float(row["std_delta_len"])),
            float(row["instruction_difficulty"]),
            row["not_gamed_baseline"] == "True",
        ]
        for row in rows
    ]
    return Regulariser(
        difficulty=np.array([float(row["instruction_difficulty"]) for row in rows[:items]]),
        features=np.array(columns, dtype=np.float64),
        preferences=np.array([float(row["preference"] or "nan") for row in rows]),
    )


def length_control(rows: Sequence[ItemResult], regulariser: Regulariser | None) -> dict[str, Any]:
    """Return the length-controlled win rate with `status` and `text`, or why there is none.

    Args:
        rows: AlpacaEval's rows in index order, with `output_characters` and `reference_characters`.
        regulariser: None where the run has no such file.
    """
    reference = [row.detail.get("reference_characters") for row in rows]
    if sha256_json(reference) != REFERENCE_LENGTHS_SHA256:
        return _none(
            "it is only defined on all 805 instructions in order, against AlpacaEval 2's reference"
            " outputs"
        )
    if regulariser is None:
        return _none("AlpacaEval's df_gamed.csv, which it is fitted with, was not given")
    lengths = np.array(
        [row.detail["reference_characters"] - row.detail["output_characters"] for row in rows]
    )
    scores = np.array([np.nan if row.score is None else row.score for row in rows])
    predictions = controlled_preferences(scores, lengths, regulariser.difficulty, regulariser)
    estimate = mean_estimate(predictions.tolist())
    return {
        "status": "ok",
        "text": (
            f"{100 * estimate.value:.2f} % (standard error"
            f" {100 * (estimate.standard_error or 0):.2f})"
        ),
        "score": estimate.value,
        "standard_error": estimate.standard_error,
        # AlpacaEval's error is the spread of fitted preferences: too small for an interval
        "interval": None,
        "n": estimate.n,
    }


def controlled_preferences(
    preferences: Floats,
    length_differences: Floats,
    difficulty: Floats,
    regulariser: Regulariser | None,
) -> Floats:
    """Return the predicted preference of each instruction at no length difference.

    Ties on every instruction give 0.5, without a fit; where all length differences are equal the
    fit is that of difficulty and constant.

    Args:
        preferences: for the variant, 0 to 1, [n]; not-a-number where the judge gave none.
        length_differences: characters of the reference less those of the variant, [n].
        difficulty: of each instruction, [n].
        regulariser: None fits without it, alpaca_eval's `length_controlled_noreg`, whose result is
            another figure.
    """
    ones = np.ones_like(difficulty)
    if (preferences[~np.isnan(preferences)] == 0.5).all():
        # ties everywhere, as the reference against itself: 50 % at any length
        return np.full_like(difficulty, 0.5)
    spread = length_differences.std(ddof=1)
    # a length that never varies explains nothing
    lengths = np.tanh(length_differences / spread) if spread else np.zeros_like(difficulty)
    features = np.column_stack([lengths, difficulty, ones])
    table, target, weights = features, preferences, ones
    if regulariser is not None:
        table, target = (
            np.vstack([regulariser.features, table]),
            np.concatenate([regulariser.preferences, target]),
        )
        weights = np.concatenate([np.full(len(regulariser.preferences), GAMED_WEIGHT), weights])
    known = ~np.isnan(target)
    coefficients = _fit(table[known], target[known], weights[known])
    return np.asarray(1 / (1 + np.exp(-(features[:, 1:] @ coefficients[1:]))))


def _fit(table: Floats, target: Floats, weights: Floats) -> Floats:
    """Return the coefficients [3]; a row of share p counts as p of a 1 and 1 - p of a 0."""
    rows = np.tile(np.arange(len(table)), 2)
    labels = np.repeat([1, 0], len(table))
    masses = np.concatenate([target, 1 - target]) * weights[rows]
    losses = np.zeros(len(STRENGTHS))
    for train, test in GroupKFold(FOLDS).split(rows, groups=rows):
        # one a fold, as in scikit-learn's LogisticRegressionCV
        stream = np.random.RandomState(SEED)
        for number, strength in enumerate(STRENGTHS):
            model = _regression(strength, stream).fit(
                table[rows[train]], labels[train], sample_weight=masses[train]
            )
            share = np.clip(model.predict_proba(table[rows[test]])[:, 1], 1e-15, 1 - 1e-15)
            truth = target[rows[test]]
            loss = -(truth * np.log(share) + (1 - truth) * np.log(1 - share))
            losses[number] += float(np.mean(loss * weights[rows[test]]))
    best = _regression(float(STRENGTHS[losses.argmin()]), np.random.RandomState(SEED))
    return np.asarray(best.fit(table[rows], labels, sample_weight=masses).coef_[0])


def _regression(strength: float, stream: np.random.RandomState) -> LogisticRegression:
    return LogisticRegression(
        C=strength, l1_ratio=1, solver="liblinear", fit_intercept=False, random_state=stream
    )


def _none(reason: str) -> dict[str, Any]:
    return {"status": "not_run", "text": f"not computed: {reason}"}
