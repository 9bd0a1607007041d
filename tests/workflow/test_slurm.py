"""SLURM as shipped: `--profile slurm-gpu` on a real cluster of one node."""

from pathlib import Path

import pytest

from checkout import copy_repository
from workflow.slurm_cluster import one_node_cluster, said, why_not_here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here())),
]


def test_jobs_end_without_accounting(tmp_path: Path) -> None:
    """A job with the model runs in the cluster; where it fails, the end says why."""
    copy = copy_repository(tmp_path / "lorabench")
    target = "results/smoke/work/evaluate_task/transformers/base.0-of-1"
    fast = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5")
    with one_node_cluster(tmp_path / "slurm"):
        done = copy.snakemake(*fast, target, profile="slurm-gpu")
        assert done.returncode == 0, done.stderr[-3000:]
        assert (copy.folder / target).is_dir()
        jobs = said("squeue", "-h", "--states=all", "-o", "%T %P %k").splitlines()
        assert jobs == ["COMPLETED cpu rule_evaluate_task_wildcards_smoke_transformers_base_0_1"]
        script = copy.folder / "workflow" / "scripts" / "evaluate_task.py"
        text = script.read_text().replace("    run_job(", "    evaluate_task = print\n    run_job(")
        script.write_text(text)
        failed = copy.snakemake("--retries", "0", *fast, target, profile="slurm-gpu")
        assert failed.returncode == 1
        assert len(said("squeue", "-h", "--states=FAILED", "-o", "%i").splitlines()) == 1
        last = (failed.stdout + failed.stderr).splitlines()[-3:]
        assert last[0].startswith("lorabench: smoke: gsm8k, mmlu on base failed: ")
        assert last[1].startswith("  log: logs/smoke/evaluate_task/")
        assert last[2].startswith("  to go on: snakemake ")


@pytest.mark.skipif(why_not_here(True) is not None, reason=str(why_not_here(True)))
def test_jobs_end_with_accounting(tmp_path: Path) -> None:
    """Account and partition are named in the profile, as a site does."""
    copy = copy_repository(tmp_path / "lorabench")
    profile = copy.folder / "profiles" / "slurm-gpu" / "profile.yaml"
    text = profile.read_text()
    for key, value in (("slurm_account", "lab"), ("slurm_partition", "gpu")):
        text = text.replace(f"{key}: None", f"{key}: {value}")
    profile.write_text(text)
    target = "results/smoke/work/evaluate_task/transformers/base.0-of-1"
    with one_node_cluster(tmp_path / "slurm", accounting=True):
        done = copy.snakemake("--latency-wait", "5", target, profile="slurm-gpu")
        assert done.returncode == 0, done.stderr[-3000:]
        jobs = said("sacct", "-X", "-n", "-P", "--format=State,Account,Partition").splitlines()
        assert jobs == ["COMPLETED|lab|gpu"]
