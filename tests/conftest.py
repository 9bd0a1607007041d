"""Fixtures of all tests: samples, a tiny real Llama, and real data if it was fetched."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from judging.fake_judge import FakeJudge, running_judge, write_benchmark

if TYPE_CHECKING:
    from judging.served_model import ServedModel

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


def share_cores() -> None:
    """Give this worker of pytest-xdist its part of the cores.

    Its threads and child processes inherit them.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        cores = sorted(os.sched_getaffinity(0))
        mine = cores[int(worker.removeprefix("gw")) :: count] or cores
        os.sched_setaffinity(0, mine)
        os.environ["OMP_NUM_THREADS"] = str(len(mine))


# before anything imports torch
share_cores()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one worker, and all that use the finished smoke run to the same."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCostlyFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "finished" if uses_finished_run(ROOT / file) else file

    return ByCostlyFixture(config, log)


@cache
def uses_finished_run(file: Path) -> bool:
    """Return whether a test of the file asks for the fixture `finished`."""
    return "finished: Checkout" in file.read_text(encoding="utf-8")


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
    """Return a folder of real benchmark data next to the repository; skip without one."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real benchmark data in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def annotations(shared_data: Path) -> list[dict[str, Any]]:
    """Return the 805 real annotations of vicuna-13b-v1.5 against the published reference."""
    path = shared_data / "alpaca_eval" / "annotations_vicuna-13b-v1.5.json"
    return list(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """Return the folder of the tiny random Llama; tests never write into it."""
    from fetch_model import fetch_model

    folder = tmp_path_factory.mktemp("models") / "tiny-random-llama"
    fetch_model(
        samples=samples / "oasst_trees.jsonl",
        source=folder / "source.json",
        settings={"kind": "built-in"},
    )
    return folder


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeJudge]:
    """Return a judge server; keys for both interfaces are set, and its books are in tmp_path."""
    monkeypatch.setattr("lorabench.control.judge_preflight.STORE", tmp_path / "judgments")
    with running_judge(monkeypatch) as fake:
        yield fake


@pytest.fixture
def benchmark_folder(tmp_path: Path) -> Path:
    """Return a folder with judge prompts, one reference and instructions."""
    return write_benchmark(tmp_path / "benchmark")


@pytest.fixture(scope="session")
def small_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return source.json of a random model that judges in a few words."""
    from judging.served_model import make_model

    return make_model(tmp_path_factory.mktemp("judge-model"))


@pytest.fixture(scope="session")
def served_model(small_judge: Path) -> "ServedModel":
    """Return that model, ready to answer for a judge server."""
    from judging.served_model import ServedModel

    return ServedModel(small_judge.parent)
