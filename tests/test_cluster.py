"""What is asked of a SLURM cluster before jobs are sent to it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lorabench.control import cluster
from lorabench.control.cluster import check_cluster, keep_asking, memory_mb
from lorabench.errors import PrerequisiteError

CONFIG = "AccountingStorageType   = {storage}\nMinJobAge               = {age} sec\n"


def here(program: str) -> str:
    """Return a path for every program."""
    return f"/usr/bin/{program}"


@pytest.mark.parametrize(
    ("storage", "age"),
    [
        ("accounting_storage/none", 300),
        ("accounting_storage/slurmdbd", 300),
        ("accounting_storage/slurmdbd", 2),
    ],
)
def test_ends_of_jobs_are_seen_with_or_without_accounting(storage: str, age: int) -> None:
    """Either SLURM remembers a finished job long enough, or it keeps accounts."""
    check_cluster(here, lambda: CONFIG.format(storage=storage, age=age))


@pytest.mark.parametrize("storage", ["accounting_storage/none", "(null)"])
def test_a_cluster_that_forgets_jobs_is_refused(storage: str) -> None:
    """Snakemake would wait for ever for a job that ended."""
    with pytest.raises(PrerequisiteError, match="MinJobAge"):
        check_cluster(here, lambda: CONFIG.format(storage=storage, age=10))


def test_a_machine_without_slurm_is_refused() -> None:
    """Programs that are missing, and a controller that does not answer, are named."""
    with pytest.raises(PrerequisiteError, match="sbatch, squeue, scontrol"):
        check_cluster(lambda program: None, lambda: "")
    with pytest.raises(PrerequisiteError, match="does not answer"):
        check_cluster(here, lambda: None)


def test_a_silent_controller_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin sees its answer and the MinJobAge of the start; an interrupt ends the wait."""
    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0)
    answers = [(None, None), (None, None), ({"1": "COMPLETED"}, 0.1)]
    ages = [300, None]

    async def ask(command: str, logger: Any) -> Any:
        return answers.pop(0)

    signals: list[int] = []
    submitted: list[str] = []
    configs = [None, None, "MinJobAge"]
    plugin = SimpleNamespace(
        query_job_status=ask,
        get_min_job_age=lambda: ages.pop(0),
        Executor=SimpleNamespace(run_job=lambda executor, job: submitted.append(job)),
    )
    keep_asking(plugin, lambda: bool(signals), lambda: configs.pop(0))
    plugin.Executor.run_job(None, "train")
    assert (submitted, configs) == (["train"], [])
    assert asyncio.run(plugin.query_job_status("squeue", None))[0] == {"1": "COMPLETED"}
    assert plugin.get_min_job_age() == 300
    answers.append((None, None))
    signals.append(2)
    assert asyncio.run(plugin.query_job_status("squeue", None)) == (None, None)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({"kind": "built-in", "name": "tiny"}, 4_000),
        ({"kind": "hub", "name": "Meta-Llama-3-8B-Instruct"}, 64_000),
        ({"kind": "hub", "name": "SmolLM-135M"}, 5_012),
        ({"kind": "path", "name": "mine"}, 64_000),
    ],
)
def test_memory_follows_the_models_size(base: dict[str, Any], expected: int) -> None:
    """A name without a size counts as 8B."""
    assert memory_mb({"fetch_model": {"base": base}}) == expected
