"""Copies of the repository in which tests call Snakemake as a user would."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if name
    not in (
        "ADAPTER_PATH",
        "BATCH_SIZE",
        "LORA_OUTPUT_DIR",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        # of a make that runs the tests
        "LORABENCH_COMMAND",
        "MAKEFLAGS",
        "MAKELEVEL",
    )
}


@dataclass(frozen=True)
class Checkout:
    """A working copy of the repository in which Snakemake can be called."""

    folder: Path

    def git(self, *words: str) -> str:
        """Run git in the copy."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        return subprocess.run(
            ["git", *identity, *words], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout

    def snakemake(
        self,
        *words: str,
        configfile: str | None = "config/smoke.yaml",
        profile: str = "local",
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Call Snakemake as a user would."""
        command = [sys.executable, "-m", "snakemake", "--profile", profile]
        command += ["--configfile", configfile] if configfile else []
        return subprocess.run(
            [*command, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**CLEAN, **(environment or {})},
        )

    def scheduled(self, *words: str, **options: object) -> dict[str, int]:
        """Return rule name -> number of jobs that a dry run would start; targets left out."""
        answer = self.snakemake("-n", *words, **options)  # type: ignore[arg-type]
        assert answer.returncode == 0, answer.stderr
        table = re.search(
            r"Job stats:\njob +count\n-+ +-+\n(.*?)\n\n", answer.stdout + answer.stderr, re.DOTALL
        )
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {
            name: int(count)
            for name, count in rows
            if name not in ("total", "all", "train", "evaluate", "perf", "report", "gate")
        }


def copy_repository(folder: Path) -> Checkout:
    """Copy tracked and new files, commit them, and return the copy."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    checkout = Checkout(folder)
    checkout.git("init", "-q", "-b", "main")
    checkout.git("add", "-A")
    checkout.git("commit", "-q", "-m", "copy")
    return checkout
