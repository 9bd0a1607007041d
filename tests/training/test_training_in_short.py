"""The short version for readers computes what train_adapter computes."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from lorabench.files import read_json
from training_fixtures import train

pytest_plugins = ["training_fixtures"]
FILE = Path(__file__).resolve().parents[2] / "examples" / "training_in_short.py"


@pytest.mark.slow
def test_the_short_version_has_the_same_losses(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Step by step, over both epochs, within rounding."""
    torch.set_num_threads(1)
    settings |= {"lora_dropout": 0.0}
    adapter = train(tiny_source, prepared, tmp_path, settings)
    expected = [row["loss"] for row in read_json(adapter / "train_metrics.json")["steps"]]
    spec = importlib.util.spec_from_file_location("training_in_short", FILE)
    assert spec and spec.loader
    short = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(short)
    recipe = {key: settings[key] for key in short.RECIPE if key in settings}
    recipe["conversations_per_step"] = settings["batch_size"] * settings["gradient_accumulation"]
    found = list(short.train(tiny_source.parent, prepared / "train.jsonl", recipe))
    assert len(found) == len(expected) > 4
    assert found == pytest.approx(expected, rel=1e-4)
