"""Where .venv cannot be built, one line says what is missing and how to get it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in an empty project folder on the given interpreter."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "make_venv.sh", folder / "tools")
    return subprocess.run(
        ["sh", "tools/make_venv.sh"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
    )


def interpreter(path: Path, line: str) -> Path:
    """Write a stand-in for an interpreter that decides by its arguments."""
    path.write_text(f'#!/bin/sh\n{line}\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


def test_a_python_out_of_range_is_named_with_the_remedy(tmp_path: Path) -> None:
    """An interpreter of another version is refused before anything is made."""
    answer = build(tmp_path, interpreter(tmp_path / "python", "exit 1"))
    assert answer.returncode == 1
    assert (
        "no Python 3.11, 3.12 or 3.13 found" in answer.stderr and "apt-get install" in answer.stderr
    )
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_named_with_the_remedy(tmp_path: Path) -> None:
    """Debian ships Python without its venv module; the path may hold spaces."""
    python = interpreter(tmp_path / "my python", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    answer = build(tmp_path, python)
    assert answer.returncode == 1
    assert (
        f"{python} cannot make virtual environments" in answer.stderr
        and "python3-venv" in answer.stderr
    )


@pytest.mark.parametrize("name", ["my project", "it's", 'a "b"', "a$b", "a;b"])
def test_a_folder_that_snakemake_cannot_run_in_is_refused(tmp_path: Path, name: str) -> None:
    """Snakemake starts scripts with the interpreter's path unquoted."""
    answer = build(tmp_path / name, interpreter(tmp_path / "python", ""))
    assert answer.returncode == 1
    assert "space or quote" in answer.stderr and str(tmp_path / name) in answer.stderr


def test_a_venv_whose_making_was_stopped_is_made_anew(tmp_path: Path) -> None:
    """An interpreter without pip is what remains of a venv that was stopped in ensurepip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    leftover = tmp_path / ".venv" / "leftover"
    leftover.touch()
    # the end of the script needs packages; what counts here is that it starts over
    answer = build(tmp_path, Path(sys.executable))
    assert "building .venv on Python 3" in answer.stdout
    assert "No module named pip" not in answer.stderr
    assert not leftover.exists()
    pip = [str(tmp_path / ".venv" / "bin" / "python"), "-m", "pip", "--version"]
    assert subprocess.run(pip, capture_output=True).returncode == 0


def test_a_whole_venv_is_kept(tmp_path: Path) -> None:
    """A second call goes on in the folder that is there."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    interpreter(tmp_path / ".venv" / "bin" / "python", 'case "$*" in *pip*) exit 0 ;; esac')
    answer = build(tmp_path, interpreter(tmp_path / "python", ""))
    assert "building .venv" not in answer.stdout
