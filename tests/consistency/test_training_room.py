"""The training room is short to read, and holds nothing that only describes."""

import ast
from pathlib import Path

from lorabench.control.source_hash import closure, read_source

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"


def rooms_behind(script: str) -> set[str]:
    """Return the rooms of the package that a script reaches, and the names of shared modules."""
    modules = closure(SCRIPTS / f"{script}.py", whole=True) - {SCRIPTS / f"{script}.py"}
    return {path.relative_to(SCRIPTS).parts[1].removesuffix(".py") for path in modules}


def shortest_walk(start: str, end: str) -> list[str]:
    """Return the modules on the shortest way of imports from one module to another."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop(0)
        if way[-1] == end:
            return way
        for name in sorted(read_source(SCRIPTS / way[-1]).imports):
            module = name.replace(".", "/") + ".py"
            if module not in seen and (SCRIPTS / module).is_file():
                seen.add(module)
                ways.append([*way, module])
    raise AssertionError(f"no way of imports from {start} to {end}")


def module_that_defines(name: str) -> str:
    """Return the module of the training room that defines a class or function."""
    for path in sorted((SCRIPTS / "lorabench" / "training").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return str(path.relative_to(SCRIPTS))
    raise AssertionError(f"nothing in training defines {name}")


def test_from_the_script_to_the_loss_in_seven_modules() -> None:
    """To follow a conversation a reader opens few modules."""
    stations = ("encode_conversations", "fit", "AdapterTrainer", "MicroBatch", "install_label_loss")
    walk = {"train_adapter.py"}
    for station in stations:
        walk.update(shortest_walk("train_adapter.py", module_that_defines(station)))
    assert len(walk) <= 7, sorted(walk)


def test_training_reaches_nothing_that_describes_or_predicts() -> None:
    """A wording, a table or an estimate must never train again."""
    for script in ("train_adapter", "import_adapter", "merge_adapter"):
        assert not rooms_behind(script) & {"control", "description", "scoring", "report"}


def test_describing_needs_no_training() -> None:
    """The cheap rule reaches its own room, documents and shared modules only."""
    assert not rooms_behind("describe_adapter") & {"control", "training", "evaluation", "inference"}
