"""What enters no hash changes no result: observers write nothing, declarations compute nothing."""

import ast
from pathlib import Path

import pytest

from lorabench.control.source_hash import UNCOUNTED, closure
from lorabench.documents.training_record import MachineReadings

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
OBSERVERS = sorted((SCRIPTS / "lorabench" / "observation").glob("*.py"))
DOCUMENTS = sorted((SCRIPTS / "lorabench" / "documents").glob("*.py"))
SETTINGS = [SCRIPTS / place for place in UNCOUNTED if place.endswith("/settings.py")]
# of documents: they annotate a type, or read JSON into one
HELPERS = {"one_of", "row_of", "gate_of"}
WRITING = {"write_beside", "write_text", "write_json", "write_jsonl", "write_bytes", "open"}


def name_of(path: Path) -> str:
    """Return a module's place below the scripts."""
    return str(path.relative_to(SCRIPTS))


def test_every_place_exists() -> None:
    """A renamed module would count again without a word."""
    assert [place for place in UNCOUNTED if not (SCRIPTS / place).exists()] == []


@pytest.mark.parametrize("rule", ["train_adapter", "evaluate_task", "measure_inference"])
def test_the_hash_leaves_them_out_and_keeps_the_rest(rule: str) -> None:
    """A module that counts is in, whoever else imports it."""
    counted, whole = (closure(SCRIPTS / f"{rule}.py", whole=whole) for whole in (False, True))
    left_out = {name_of(path) for path in whole - counted}
    assert {"lorabench/job.py", "lorabench/documents/__init__.py"} <= left_out
    assert SCRIPTS / "lorabench" / "llama.py" in counted
    assert all(
        any(Path(name).is_relative_to(place) for place in UNCOUNTED)
        for name in left_out - {"lorabench/gpu_state.py", "lorabench/context.py"}
    )


@pytest.mark.parametrize("path", OBSERVERS, ids=name_of)
def test_an_observer_writes_no_file(path: Path) -> None:
    """It returns its readings; the script that was given the outputs writes them."""
    called = {
        node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert called & WRITING == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documents_declare_types_only(path: Path) -> None:
    """No constant that a writer could read, and no method."""
    for node in ast.parse(path.read_text()).body[1:]:
        if isinstance(node, ast.FunctionDef):
            assert node.name in HELPERS
        elif isinstance(node, ast.Assign):
            assert isinstance(node.value, ast.Subscript | ast.BinOp | ast.Name)
        elif isinstance(node, ast.ClassDef):
            assert all(isinstance(part, ast.AnnAssign | ast.Expr) for part in node.body)
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom)


def test_older_records_stay_readable() -> None:
    """A new reading is NotRequired; where these keys change, schema_version counts up, and trains.

    The number is in train_adapter.py, which counts.
    """
    required = ("peak_memory", "power", "matrix_speed", "hardware", "software", "determinism")
    assert MachineReadings.__required_keys__ == {*required, "git"}


def functions_of(place: str) -> list[ast.FunctionDef]:
    """Return the functions of a module."""
    tree = ast.parse((SCRIPTS / "lorabench" / place).read_text())
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_checks_refuse_and_nothing_else() -> None:
    """They return nothing, and change nothing that they were given."""
    for function in functions_of("training/checks.py"):
        assert function.name.startswith(("check_", "refuse_"))
        assert ast.unparse(function.returns or function) in ("None", "NoReturn")
        for node in ast.walk(function):
            assert not isinstance(node, ast.Global | ast.Nonlocal | ast.Delete | ast.AugAssign)
            if isinstance(node, ast.Assign):
                assert all(isinstance(target, ast.Name) for target in node.targets)


def test_errors_make_errors_only() -> None:
    """What a function of theirs returns can only be raised."""
    for function in functions_of("errors.py"):
        assert ast.unparse(function.returns or function) in ("DataError", "Exception")


@pytest.mark.parametrize("path", SETTINGS, ids=name_of)
def test_settings_declare_keys_and_refuse(path: Path) -> None:
    """No default, no property, and a check returns the text that it was given."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.name.startswith(("_", "parse", "check_")), node.name
            for part in ast.walk(node):
                if node.name.startswith("_") and isinstance(part, ast.Return):
                    assert ast.unparse(part.value or node) == node.args.args[0].arg
        if isinstance(node, ast.ClassDef):
            for key in node.body:
                if isinstance(key, ast.AnnAssign) and key.value is not None:
                    assert isinstance(key.value, ast.Call) and not key.value.args
                    words = {word.arg for word in key.value.keywords}
                    assert not words & {"default", "default_factory", "alias"}
