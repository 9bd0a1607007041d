"""The length-controlled win rate against AlpacaEval's published figures."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.scoring.length_control import (
    REFERENCE_LENGTHS_SHA256,
    Regulariser,
    controlled_preferences,
    length_control,
    read_regulariser,
)

PUBLISHED_PERCENT = {
    "vicuna-13b-v1.5": 10.4844,
    "Meta-Llama-3-8B-Instruct": 22.9188,
}  # weights of alpaca_eval 0.6.6


@pytest.fixture(scope="module")
def difficulty(shared_data: Path) -> np.ndarray[Any, Any]:
    """Return the recovered difficulty of each instruction."""
    with (shared_data / "alpaca_eval" / "instruction_difficulty_recovered.csv").open(
        encoding="utf-8"
    ) as file:
        return np.array([float(row["instruction_difficulty"]) for row in csv.DictReader(file)])


def item_rows(annotations: list[dict[str, Any]]) -> list[ItemResult]:
    """Return annotations as item rows."""
    return [
        ItemResult(
            index=index,
            id=f"alpaca-{index}",
            cluster=f"alpaca-{index}",
            score=row["preference"] - 1,
            outcome="judged",
            detail={
                "category": row["dataset"],
                "output_characters": len(row["output_2"]),
                "reference_characters": len(row["output_1"]),
            },
        )
        for index, row in enumerate(annotations)
    ]


def test_difficulties_reproduce_the_published_win_rates(
    shared_data: Path, difficulty: np.ndarray[Any, Any]
) -> None:
    """The formula with published weights gives published length-controlled win rates."""
    path = shared_data / "alpaca_eval" / "lc_v1_weights_baseline_gpt4_1106_preview.csv"
    with path.open(encoding="utf-8") as file:
        weights = {row[""]: row for row in csv.DictReader(file)}
    for model, percent in PUBLISHED_PERCENT.items():
        row = weights[model]
        constant = float(row["not_gamed_baseline.astype(float)"])
        logits = float(row["instruction_difficulty"]) * difficulty + constant
        assert 100 * np.mean(1 / (1 + np.exp(-logits))) == pytest.approx(percent, abs=1e-4)


@pytest.mark.slow
def test_the_fit_is_that_of_alpaca_eval(
    annotations: list[dict[str, Any]], difficulty: np.ndarray[Any, Any]
) -> None:
    """Origin: alpaca_eval 0.6.6, length_controlled_noreg, vicuna-13b-v1.5: 8.61 %."""
    rows = item_rows(annotations)
    preferences = np.array([row.score for row in rows], dtype=np.float64)
    lengths = np.array(
        [row.detail["reference_characters"] - row.detail["output_characters"] for row in rows]
    )
    assert 100 * preferences.mean() == pytest.approx(6.722, abs=1e-3)
    predicted = controlled_preferences(preferences, lengths, difficulty, None)
    assert 100 * predicted.mean() == pytest.approx(8.606, abs=0.01)


@pytest.mark.slow
def test_the_regularised_fit_is_that_of_alpaca_eval(
    annotations: list[dict[str, Any]], difficulty: np.ndarray[Any, Any]
) -> None:
    """Origin: alpaca_eval 0.6.6 with these gamed rows: 5.842654916836878 %."""
    random = np.random.default_rng(7)
    features, gamed = [], []
    for shift in (2.0, -2.0):
        for hard in difficulty:
            delta = random.normal(shift, 0.7)
            chance = 1 / (1 + np.exp(-(0.9 * np.tanh(delta) + 0.4 * hard - 1)))
            gamed.append(np.clip(chance + random.normal(0, 0.05), 0, 1))
            features.append([np.tanh(delta), hard, 0.0])
    regulariser = Regulariser(
        difficulty=difficulty, features=np.array(features), preferences=np.array(gamed)
    )
    rows = item_rows(annotations)
    preferences = np.array([row.score for row in rows], dtype=np.float64)
    preferences[[3, 77, 500]] = np.nan  # answers that the judge did not give
    lengths = np.array(
        [row.detail["reference_characters"] - row.detail["output_characters"] for row in rows]
    )
    predicted = 100 * controlled_preferences(preferences, lengths, difficulty, regulariser)
    assert predicted.mean() == pytest.approx(5.842654916836878, abs=1e-6)
    assert predicted.std(ddof=1) / np.sqrt(805) == pytest.approx(0.376311542724074, abs=1e-6)


def test_a_full_run_is_recognised_and_a_part_is_refused(annotations: list[dict[str, Any]]) -> None:
    """Only all 805 instructions in order have a length-controlled win rate."""
    rows = item_rows(annotations)
    assert "was not given" in length_control(rows, None)["text"]
    for part in (rows[:804], rows[::-1]):
        assert "all 805 instructions in order" in length_control(part, None)["text"]


def test_gamed_rows_pull_the_fit_and_missing_preferences_are_predicted() -> None:
    """An instruction without a preference gets a prediction."""
    random = np.random.default_rng(0)
    difficulty, lengths = random.normal(size=60), random.normal(size=60) * 100
    preferences = np.clip(0.3 + 0.2 * np.tanh(lengths / 100) + 0.05 * random.normal(size=60), 0, 1)
    features = np.column_stack(
        [np.tanh(random.normal(size=120)), random.normal(size=120), np.zeros(120)]
    )
    regulariser = Regulariser(
        difficulty=difficulty, features=features, preferences=np.full(120, 0.9)
    )
    alone = controlled_preferences(preferences, lengths, difficulty, None)
    pulled = controlled_preferences(preferences, lengths, difficulty, regulariser)
    assert not np.allclose(alone, pulled)
    preferences[3] = np.nan
    assert np.isfinite(controlled_preferences(preferences, lengths, difficulty, None)).all()


def test_the_reference_against_itself_wins_half() -> None:
    """Ties are 50 % with a regulariser too; other preferences keep their mean."""
    random = np.random.default_rng(0)
    difficulty = random.normal(size=60)
    features = np.column_stack(
        [np.tanh(random.normal(size=120)), random.normal(size=120), np.zeros(120)]
    )
    regulariser = Regulariser(
        difficulty=difficulty, features=features, preferences=np.full(120, 0.9)
    )
    for lengths in (np.zeros(60), np.full(60, 25.0)):
        ties = controlled_preferences(np.full(60, 0.5), lengths, difficulty, regulariser)
        assert (ties == 0.5).all()
        preferences = random.beta(2, 6, size=60)
        predicted = controlled_preferences(preferences, lengths, difficulty, None)
        assert predicted.mean() == pytest.approx(preferences.mean(), abs=0.02)


def test_another_regulariser_file_is_refused(tmp_path: Path) -> None:
    """The file is known by its hash."""
    (tmp_path / "df_gamed.csv").write_text("index,preference\n", encoding="utf-8")
    with pytest.raises(DataError, match="SHA-256"):
        read_regulariser(tmp_path / "df_gamed.csv")


def test_the_reference_is_known_by_its_lengths(shared_data: Path) -> None:
    """The recorded hash is that of the published reference outputs."""
    from lorabench.files import sha256_json

    path = shared_data / "alpaca_eval" / "reference_outputs_gpt4_1106_preview.json"
    reference = json.loads(path.read_text(encoding="utf-8"))
    assert sha256_json([len(row["output"]) for row in reference]) == REFERENCE_LENGTHS_SHA256
