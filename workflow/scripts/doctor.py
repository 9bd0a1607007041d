"""Say what this machine has and lacks for a configuration: `make doctor [CONFIG=FILE]`.

Prints the machine, secrets that are set (never their values), every fault that would stop a run,
and what training needs: memory, operations, time and disk, here or on known GPUs. Remote judges are
asked one tiny question each. Exit code 1 where the configuration cannot run here.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from lorabench.control.base_model import base_config
from lorabench.control.benchmarks import JUDGED
from lorabench.control.command import configured_runs, errors_in_lines, parser_of
from lorabench.control.estimate import estimate, this_cpu
from lorabench.control.judge_preflight import ask_judges
from lorabench.control.preflight import check, gpu_found
from lorabench.description.gpus import GPUS
from lorabench.errors import LorabenchError
from lorabench.files import read_json
from lorabench.judging.availability import SECRETS, judge_available
from lorabench.judging.settings import parse_judge
from lorabench.processor import cores

RULES = {
    "fetch_model",
    "fetch_conversations",
    "fetch_benchmark",
    "train_adapter",
    "import_adapter",
    "merge_adapter",
}


def describe_machine() -> list[str]:
    """Return lines on Python, processor, memory, disk, GPUs and which secrets are set."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    gpus = ["nvidia-smi finds no GPU"]
    if gpu_found():
        asked = "--query-gpu=name,memory.total,driver_version"
        query = ["nvidia-smi", asked, "--format=csv,noheader"]
        gpus = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    set_secrets = [name for name in SECRETS if os.environ.get(name)]
    unset_secrets = [name for name in SECRETS if name not in set_secrets]
    return [
        f"Python    {platform.python_version()}, {platform.platform()}",
        f"processor {cores()} cores, {memory:.1f} GB of memory",
        f"disk      {shutil.disk_usage('.').free / 1e9:.1f} GB free",
        *(f"GPU       {gpu}" for gpu in gpus),
        f"secrets   set: {', '.join(set_secrets) or 'no variable'};"
        f" not set: {', '.join(unset_secrets) or 'no variable'}",
    ]


def describe_training(run: dict[str, Any]) -> list[str]:
    """Return lines on what training needs here and on the GPUs of the estimate's table."""
    config = base_config(run)
    if config is None:
        return ["training  no estimate before the model has been fetched"]
    metrics = Path("results") / run["run"] / "adapter" / "train_metrics.json"
    data = read_json(metrics).get("data") if metrics.is_file() else None
    if data is None and run["fetch_conversations"]["kind"] != "hub":
        return [
            "training  no estimate before the first training has counted the tokens of these"
            " conversations"
        ]
    devices = GPUS.values() if run["require_gpu"] else [this_cpu()]
    source = (
        "counted in the last training" if data else "expected of oasst1, about 5.4 million an epoch"
    )
    return [f"training  tokens: {source}"] + [
        line
        for device in devices
        for line in estimate(run["train_adapter"], dict(config), data, device).lines()
    ]


def ask_about_judging(run: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return a line on each judge, and those of the lines that would stop a run."""
    sections = [
        judge for name, judge in JUDGED.items() if name in run["score_benchmark"]["benchmarks"]
    ]
    reasons = {section: judge_available(run[section]["judge"], os.environ) for section in sections}
    asked = ((section, run[section]) for section in sections if reasons[section] is None)
    states = ask_judges(asked, run["run"])
    lines = [
        f"{section}: {reason or describe_local_judge(run[section]['judge'])}"
        for section, reason in reasons.items()
        if reason or run[section]["judge"]["kind"] == "local"
    ]
    lines += [state.text for state in states]
    return lines, [state.text for state in states if not state.usable]


def describe_local_judge(judge: dict[str, Any]) -> str:
    """Return what a local judge's scores are worth and what to do about it."""
    if parse_judge(judge).signal:
        return "a model on this machine, whose scores count (judge.carries_signal: true)"
    return (
        "a model on this machine, whose scores decide nothing; set judge.carries_signal to true"
        " where you have measured that it agrees with people"
    )


def doctor(overlays: list[Path]) -> list[str]:
    """Print the findings; return the faults that would stop a run of this configuration here."""
    print("\n".join(describe_machine()))
    faults: list[str] = []
    runs = configured_runs(overlays)
    for name, run in runs.items():
        print(f"\nrun {name}: {run['fetch_model']['base']['name']}")
        print("\n".join(describe_training(run)))
        lines, unusable = ask_about_judging(run)
        for line in lines:
            print(f"judging   {line}")
        faults += unusable
    try:
        check(runs, RULES, vllm=set(), with_conda=False, local=True, environment=os.environ)
    except LorabenchError as error:
        faults += str(error).splitlines()
    return list(dict.fromkeys(faults))


def main() -> None:
    """Parse the command line, print the findings, exit with 1 where a run would stop."""
    overlays = parser_of(__doc__).parse_args().configfile
    with errors_in_lines():
        faults = doctor(overlays)
    print()
    print(
        "\n".join(f"missing   {fault}" for fault in faults)
        or "nothing is missing for this configuration"
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
