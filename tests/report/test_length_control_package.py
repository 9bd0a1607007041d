"""The length-controlled win rate against the package alpaca_eval 0.6.6 on equal inputs.

Where the package is installed both are computed (pip install alpaca-eval==0.6.6
"scikit-learn<1.10", in a separate environment); elsewhere the figures that the package gave
stand for it.
"""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorabench.files import sha256_file
from lorabench.scoring import regulariser_file
from lorabench.scoring.length_control import controlled_preferences, read_regulariser

ITEMS = 200
# (name, every how many preferences one is missing) -> the package's length-controlled win rate
PACKAGE_PERCENT = {
    ("length_controlled_v1", 0): 49.93995064710635,
    ("length_controlled_v1", 7): 49.97622921852658,
    ("length_controlled_noreg", 0): 49.06902829829835,
    ("length_controlled_noreg", 7): 49.112637171777614,
}


def difficulties() -> list[float]:
    """Return a difficulty for each instruction."""
    return [math.sin(1.7 * index) for index in range(ITEMS)]


def make_annotations(missing: int) -> list[dict[str, Any]]:
    """Return annotations where longer outputs win and every `missing`-th has no preference."""
    rows = []
    for index, difficulty in enumerate(difficulties()):
        length = 300 + round(250 * math.sin(2.3 * index))
        share = 1 / (1 + math.exp(1.0 - length / 400 - difficulty - 0.8 * math.cos(5.1 * index)))
        rows.append(
            {
                "output_1": "r" * 400,
                "output_2": "v" * length,
                "generator_1": "reference",
                "generator_2": "variant",
                "annotator": "judge",
                "preference": math.nan if missing and index % missing == 3 else 1 + share,
            }
        )
    return rows


def write_gamed(path: Path) -> None:
    """Write a regulariser with a wordy and a terse baseline, with gaps."""
    columns = [
        "model",
        "index",
        "preference",
        "std_delta_len",
        "instruction_difficulty",
        "not_gamed_baseline",
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for model, lean in (("wordy", -1.0), ("terse", 1.0)):
            for index, difficulty in enumerate(difficulties()):
                delta = lean + 0.7 * math.sin(3.1 * index)
                share = 0.5 - 0.3 * math.tanh(delta) + 0.1 * math.cos(1.3 * index)
                writer.writerow(
                    [model, index, "" if index % 41 == 9 else share, delta, difficulty, False]
                )


def our_predictions(name: str, missing: int, gamed: Path) -> np.ndarray[Any, Any]:
    """Return this project's prediction for each instruction."""
    rows = make_annotations(missing)
    preferences = np.array([row["preference"] - 1 for row in rows])
    lengths = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows])
    regulariser = read_regulariser(gamed)
    return controlled_preferences(
        preferences,
        lengths,
        regulariser.difficulty,
        regulariser if name == "length_controlled_v1" else None,
    )


@pytest.fixture
def gamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the made regulariser file, accepted in place of the published one."""
    path = tmp_path / "df_gamed.csv"
    write_gamed(path)
    monkeypatch.setattr(regulariser_file, "REGULARISER_SHA256", sha256_file(path))
    return path


@pytest.mark.parametrize(("name", "missing"), list(PACKAGE_PERCENT))
def test_figures_are_those_that_the_package_gave(name: str, missing: int, gamed: Path) -> None:
    """With and without regulariser, with all and with missing preferences."""
    assert 100 * our_predictions(name, missing, gamed).mean() == pytest.approx(
        PACKAGE_PERCENT[name, missing], abs=1e-6
    )


@pytest.mark.parametrize(("name", "missing"), list(PACKAGE_PERCENT))
def test_every_prediction_equals_the_packages(
    name: str, missing: int, gamed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own function on the same rows, with its download replaced."""
    package = pytest.importorskip(
        "alpaca_eval.metrics.glm_winrate", reason="needs alpaca-eval==0.6.6"
    )
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(package, "hf_hub_download", lambda **_: str(gamed))
    frame = pandas.DataFrame(make_annotations(missing))
    metrics = package.get_length_controlled_winrate(frame, glm_name=name, save_weights_dir=None)
    ours = our_predictions(name, missing, gamed)
    assert np.abs(frame["glm_preference"].to_numpy() - ours).max() < 1e-9
    assert metrics["length_controlled_winrate"] == pytest.approx(
        PACKAGE_PERCENT[name, missing], abs=1e-9
    )
    assert metrics["lc_standard_error"] == pytest.approx(
        100 * ours.std(ddof=1) / math.sqrt(ITEMS), abs=1e-9
    )
