"""Wrong configs: each fault is one line; all are named together."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorabench.control.config.files import overlays_of
from lorabench.control.configuration import load, resolve
from lorabench.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "config" / "config.yaml"


def lines_of(files: list[Path], environment: dict[str, str] | None = None) -> list[str]:
    """Return the lines of the error that config files raise over the default and the smoke run."""
    every = [DEFAULT, ROOT / "config" / "smoke.yaml", *files]
    with pytest.raises(ConfigurationError) as caught:
        resolve(load(every), every, environment or {})
    return str(caught.value).splitlines()


WRONG_VALUES = [
    tuple(line.split(" -> "))
    for line in (ROOT / "tests" / "wrong_values.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("text", "line"), WRONG_VALUES, ids=[text for text, _ in WRONG_VALUES])
def test_a_wrong_value_is_named_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    """The line names file, key, what was expected and what was found."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(text)
    lines = lines_of([overlay])
    found = [one for one in lines if line in one]
    assert found, lines
    assert found[0].startswith(f"{overlay}:1: ")
    assert all(one.isprintable() for one in lines)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("BATCH_SIZE", "²", "expected a whole number, found '²'"),
        ("BATCH_SIZE", "0", "expected at least 1, found 0"),
        ("BATCH_SIZE", "-1", "expected a whole number, found '-1'"),
        ("BATCH_SIZE", "1.5", "expected a whole number, found '1.5'"),
        ("BATCH_SIZE", "9" * 5000, "expected a whole number, found '999"),
        ("LORA_OUTPUT_DIR", "~/lora", "write the home folder out, '~' is not replaced"),
        ("BATCH_SIZE", "many", "expected a whole number, found 'many'"),
        ("BATCH_SIZE", " 4", "expected a whole number, found ' 4'"),
        ("BATCH_SIZE", "nan", "expected a whole number, found 'nan'"),
        ("ADAPTER_PATH", "/", "expected a file or folder, found the whole disk"),
        ("ADAPTER_PATH", "a\nb", "expected one line without control characters"),
        ("ADAPTER_PATH", " ", "expected some text"),
        ("ADAPTER_PATH", "x" * 5000, "expected at most 4096 characters, found 5000"),
        ("LORA_OUTPUT_DIR", "/", "expected a file or folder, found the whole disk"),
        ("LORA_OUTPUT_DIR", "out\n", "expected one line without control characters"),
        ("MT_BENCH_JUDGE_MODEL", "a\nb", "expected one line without control characters"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, line: str) -> None:
    """A fault of a variable is not blamed on a file."""
    [found] = lines_of([], {variable: value})
    assert found.startswith(f"{variable}: ") and line in found


@pytest.mark.parametrize("section", ["train_adapter: null", "import_adapter: 3"])
def test_a_variable_does_not_hide_a_section_that_is_none(tmp_path: Path, section: str) -> None:
    """What the variable would set is nowhere; the section is named."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(section)
    [found] = lines_of([overlay], {"BATCH_SIZE": "2", "ADAPTER_PATH": "x"})
    assert "expected a section of keys" in found


WRONG_FILES: list[tuple[str, bytes, str]] = [
    ("equal keys", b"run: a\nrun: b\n", ":2: run: the key is already in line 1"),
    (
        "equal keys below",
        b"judge:\n  model: a\n  kind: local\n  model: b\n",
        ":4: judge.model: the key is already in line 2",
    ),
    ("syntax", b"run: [a\nsweep: {}\n", ":2: not YAML"),
    ("tab", b"judge:\n\tkind: local\n", ":2: not YAML"),
    ("colon", b"run: a: b\n", ":1: not YAML"),
    ("bytes", b"run: caf\xe9\n", ":1: expected UTF-8 text, found the byte 0xe9 in column 9"),
    ("zero", b"run: a\x00\n", ": not YAML"),
    ("tag", b"run: !!python/name:os.system\n", ":1: not YAML"),
    ("alias", b"run: *nothing\n", ":1: not YAML"),
    ("date", b"run: 2024-13-45\n", ": not YAML that can be read"),
    ("empty", b"", ": expected sections such as `run: demo`, found nothing"),
    ("list", b"- run\n", ": expected sections such as `run: demo`, found list"),
    ("text", b"smoke\n", ": expected sections such as `run: demo`, found str"),
    ("marks", "\ufeff\ufeffrun: a\n".encode(), ":1: '\\ufeffrun': unknown key"),
    ("two", b"run: a\n---\nrun: b\n", ":2: not YAML"),
    ("itself", b"run: &a [*a]\n", ": a value holds itself"),
]


@pytest.mark.parametrize(
    ("content", "line"), [case[1:] for case in WRONG_FILES], ids=[case[0] for case in WRONG_FILES]
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes, line: str) -> None:
    """Syntax, equal keys, bytes that are no text: with the line, if one is to blame."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_bytes(content)
    assert lines_of([overlay])[0].startswith(f"{overlay}{line}")


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    """A folder, a loop of links, nothing at all."""
    folder, loop, none = (tmp_path / name for name in ("folder.yaml", "loop.yaml", "none.yaml"))
    folder.mkdir()
    loop.symlink_to(loop)
    assert lines_of([folder, loop, none]) == [
        f"{folder}: expected a readable file; it is a folder",
        f"{loop}: expected a readable file; too many levels of symbolic links",
        f"{none}: expected a readable file; there is no such file",
    ]


def test_a_path_in_a_loop_of_links_is_named(tmp_path: Path) -> None:
    """An absolute path is looked at, and a loop has no end."""
    loop, overlay = tmp_path / "loop", tmp_path / "wrong.yaml"
    loop.symlink_to(loop)
    overlay.write_text(f"fetch_conversations: {{kind: path, path: {loop}}}")
    [line] = lines_of([overlay])
    assert "fetch_conversations.path: expected a file or folder" in line


def test_a_long_value_is_shown_short(tmp_path: Path) -> None:
    """The line stays one that can be read."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(f"run: {'x' * 5000}")
    [line] = lines_of([overlay])
    assert len(line) < 400


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    """Faults of keys, of an entry of the sweep and of a variable."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(
        "run: a b\n"
        "train_adapter: {lora_r: 0, lora_s: 1}\n"
        "sweep: {x: {train_adapter: {seed: -1}}, y: {run: z}}\n"
    )
    lines = lines_of([overlay], {"BATCH_SIZE": "²"})
    assert len(lines) == len(set(lines)) >= 6
    for part in (
        "run:",
        "lora_r:",
        "lora_s:",
        "BATCH_SIZE:",
        "sweep.x.train_adapter.seed",
        "y.run",
    ):
        assert any(part in line for line in lines), (part, lines)


def test_a_fault_of_the_shared_judge_is_named_once(tmp_path: Path) -> None:
    """Both benchmarks have the keys of `judge`; its fault has one line."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text("judge: {concurrency: 0}")
    assert len(lines_of([overlay])) == 1


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["--configfile", "a", "b", "--cores", "1"], ["a", "b"]),
        (["all", "--configfiles=a", "-n"], ["a"]),
        (["--config", "x=1", "--configfile", "a"], ["a"]),
        (["all"], []),
    ],
)
def test_overlays_are_found_on_the_command_line(words: list[str], files: list[str]) -> None:
    """As Snakemake reads its own command line."""
    assert overlays_of(words) == [Path(file) for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("case", range(0, len(WRONG_FILES), 4))
def test_the_command_line_ends_with_the_line(tmp_path: Path, case: int) -> None:
    """make validate: one line, exit code 2, no traceback."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_bytes(WRONG_FILES[case][1])
    script = ROOT / "workflow" / "scripts" / "validate_config.py"
    answer: Any = subprocess.run(
        [sys.executable, str(script), "--configfile", str(overlay)], capture_output=True, text=True
    )
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1, answer.stderr


def test_old_configs_with_two_whole_judges_are_the_same_config(tmp_path: Path) -> None:
    """The keys of `judge` may stand in both judging sections, as they did."""
    config = load([DEFAULT])
    old = tmp_path / "old.yaml"
    whole = {"judge": config["judge"] | {"kind": "local", "model": None}}
    old.write_text(yaml.safe_dump({"judge_mt_bench": whole, "judge_alpaca_eval": whole}))
    [run] = resolve(load([DEFAULT, old]), [DEFAULT, old], {}).values()
    assert run["judge_mt_bench"]["judge"] == run["judge_alpaca_eval"]["judge"] == whole["judge"]
