"""The walks of docs/architecture.md name files and functions that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
WALKS = re.findall(r"^## (Walk: .*?)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
STOPS = [
    (match[1], re.findall(r"`([\w.]+)`", match[2]))
    for _, walk in WALKS
    for match in re.finditer(r"^\d+\. `([\w/]+\.py)`: (.*)\.$", walk, re.MULTILINE)
]


def defined_in(path: Path) -> set[str]:
    """Return the functions, classes and Class.method names that a file defines."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef)
            )
    return names


def test_two_walks_of_few_stops() -> None:
    """One conversation and one question; at most 13 stops each, and no stop is missed here."""
    assert [title for title, _ in WALKS] == [
        "Walk: one conversation, from file to loss",
        "Walk: one MMLU question, from source to report",
    ]
    numbered = [len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) for _, walk in WALKS]
    assert max(numbered) <= 13
    assert sum(numbered) == len(STOPS)


@pytest.mark.parametrize(("file", "names"), STOPS)
def test_files_and_functions_of_the_walks_exist(file: str, names: list[str]) -> None:
    """Each stop names a file and functions that this file defines."""
    assert names
    assert set(names) <= defined_in(SCRIPTS / file)


def test_every_room_has_its_row() -> None:
    """The table of rooms lists the folders of the package."""
    rooms = {path.parent.name for path in (SCRIPTS / "lorabench").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGE, re.MULTILINE))
