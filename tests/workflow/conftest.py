"""A finished smoke run in a copy of the repository, made once for all workflow tests."""

import pytest

from checkout import Checkout, copy_repository


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a fresh copy of the repository, nothing run in it."""
    return copy_repository(tmp_path_factory.mktemp("fresh") / "lorabench")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository in which the smoke run is complete."""
    copy = copy_repository(tmp_path_factory.mktemp("finished") / "lorabench")
    answer = copy.snakemake()
    assert answer.returncode == 0, answer.stderr[-6000:]
    return copy
