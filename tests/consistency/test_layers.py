"""The architecture holds: who may import whom, where names may appear, and how large files get."""

import ast
import re
from pathlib import Path

import pytest

from lorabench.control.config.sections import Config

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
PACKAGE = SCRIPTS / "lorabench"
# Room -> rooms that it may import besides shared modules. Only the head process, doctor and
# validate_config import `control`.
MAY_IMPORT: dict[str, set[str]] = {
    "documents": set(),
    "observation": {"documents"},
    "data": {"documents"},
    "training": {"documents", "observation"},
    "evaluation": {"documents"},
    "judging": {"documents"},
    "inference": {"documents"},
    "description": {"documents"},
    "scoring": {"documents"},
    "report": {"documents", "scoring", "description"},
}
BOTTOM = {"errors", "files", "documents", "section"}
MODULES = sorted(PACKAGE.rglob("*.py"))
RULES = {path.stem: path.read_text() for path in sorted((ROOT / "rules").glob("*.smk"))}


def imported(path: Path) -> set[str]:
    """Return the lorabench modules that a file imports, as dotted names below the package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "lorabench"
        ):
            names.add(node.module.removeprefix("lorabench").lstrip("."))
        elif isinstance(node, ast.Import):
            names.update(
                alias.name.removeprefix("lorabench.")
                for alias in node.names
                if alias.name.startswith("lorabench.")
            )
    return names - {""}


def layer(module: str) -> str:
    """Return the first part of a dotted module name."""
    return module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_downwards_only(path: Path) -> None:
    """Rooms import what MAY_IMPORT allows; shared modules import no room."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    above = {layer(name) for name in imported(path)}
    if own in BOTTOM:
        assert above <= BOTTOM
    elif own != "control":
        rooms = {*MAY_IMPORT, "control", "job"}
        assert not above & (rooms - {own} - MAY_IMPORT.get(own, {"documents"}))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_package_files_hold_a_docstring_only(path: Path) -> None:
    """Whatever is in `__init__.py` would make every stage stale."""
    assert len(ast.parse(path.read_text()).body) == 1


def test_only_scripts_know_snakemake() -> None:
    """The package never reads the `snakemake` object of a job."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if re.search(r"\bsnakemake\.(input|output|params|config)", path.read_text())
    }
    assert users == set()


def test_scripts_never_read_the_whole_config() -> None:
    """Config reaches scripts through `params` only, or its changes would go unnoticed."""
    assert [path.name for path in SCRIPTS.glob("*.py") if ".config[" in path.read_text()] == []


@pytest.mark.parametrize(
    "path",
    [*MODULES, *sorted(SCRIPTS.glob("*.py"))],
    ids=lambda path: str(path.relative_to(SCRIPTS)),
)
def test_files_and_functions_stay_small(path: Path) -> None:
    """At most 350 lines a file and 90 lines a function."""
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    for name, length in function_lengths(path):
        assert length <= 90, name


def test_most_functions_are_short() -> None:
    """Nine of ten functions have at most 35 lines."""
    lengths = sorted(length for path in MODULES for _, length in function_lengths(path))
    assert lengths[len(lengths) * 9 // 10] <= 35


def function_lengths(path: Path) -> list[tuple[str, int]]:
    """Return name and number of lines of each function of a file."""
    return [
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def rule_blocks() -> dict[str, str]:
    """Return rule name -> text of its block."""
    blocks: dict[str, str] = {}
    for text in RULES.values():
        for match in re.finditer(r"^( *)rule (\w+):\n((?:\1 +.*\n|\n)+)", text, re.MULTILINE):
            blocks[match[2]] = match[3]
    return blocks


@pytest.mark.parametrize("name", sorted(rule_blocks()))
def test_every_rule_declares_what_it_needs(name: str) -> None:
    """Each rule has log, benchmark, conda, threads, resources, settings and code."""
    block = rule_blocks()[name]
    for word in (
        "log:",
        "benchmark:",
        "conda:",
        "threads:",
        "resources:",
        "settings=",
        f'code=parameters.code("{name}"',
        f"scripts/{name}.py",
    ):
        assert word in block, word


def test_rules_have_scripts_and_sections() -> None:
    """Every rule has a script of its name, and a section where it reads config."""
    for name, block in rule_blocks().items():
        assert (SCRIPTS / f"{name}.py").is_file()
        if f'section("{name}"' in block:
            assert name in Config.model_fields


def test_documentation_made_from_code_is_in_step(root: Path) -> None:
    """The config page, the rerun table and the rule graph are what `make fix` would write."""
    import subprocess
    import sys

    answer = subprocess.run(
        [sys.executable, "tools/generate_docs.py", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
