"""The README's commands run as typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import CLEAN, ROOT, Checkout

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def test_all_kinds_of_commands_are_found() -> None:
    """The blocks hold the two commands that everything starts with, and bare snakemake calls."""
    assert {"make bench-demo", "make test", "snakemake --profile local"} <= set(COMMANDS)


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.startswith("make ")]
)
def test_make_targets_exist(command: str) -> None:
    """Every make command of the README names a target; the calls it would make are printed."""
    answer = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert ".venv/bin/" in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.startswith("snakemake ")]
)
def test_snakemake_commands_find_profile_and_config(checkout: Checkout, command: str) -> None:
    """Every snakemake command of the README builds its job graph as typed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), CLEAN["PATH"]])
    words = [*command.split(), *([] if command.endswith(" -n") else ["-n"])]
    answer = subprocess.run(
        words, cwd=checkout.folder, capture_output=True, text=True, env={**CLEAN, "PATH": path}
    )
    assert answer.returncode == 0, answer.stderr
    assert "train_adapter" in answer.stdout + answer.stderr
