"""Fixtures of all tests: the project's samples, a tiny real Llama checkpoint, and real data where it is present."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of the project's own sample data."""
    return ROOT / "workflow" / "resources" / "samples"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return a folder of real benchmark data beside the repository; skip the test where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real benchmark data in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """Return the folder of the built-in tiny random Llama as `fetch_model` makes it; tests never write into it."""
    from fetch_model import fetch_model

    folder = tmp_path_factory.mktemp("models") / "tiny-random-llama"
    fetch_model(samples=samples / "oasst_trees.jsonl", source=folder / "source.json", settings={"kind": "built-in"})
    return folder
