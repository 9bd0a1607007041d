"""Code hashes: documentation never counts, code and reached modules always do."""

import ast
from pathlib import Path

import pytest

from lorabench.control import source_hash
from lorabench.control.source_hash import closure, code_hash, read_source


def normalise(text: str) -> str:
    """Return the normal form of a text."""
    return source_hash.normalise(text, ast.parse(text))


CODE = '''"""Docstring."""

import os  # comment


class Thing:
    """Doc."""

    text = """a

b"""

    def method(self, x: int) -> int:
        """Doc über.

        More.
        """
        # comment
        return x + 1  # ü comment
'''


def test_comments_docstrings_and_blank_lines_do_not_count() -> None:
    """Two files that differ in documentation only have the same normal form."""
    bare = (
        'import os\nclass Thing:\n    text = """a\n\nb"""\n    def method(self, x: int) -> int:\n  '
        "      return x + 1\n"
    )
    assert normalise(CODE) == normalise(bare)


@pytest.mark.parametrize(
    "old, new",
    [("x + 1", "x + 2"), ("a\n\nb", "a\nb"), ("method", "other"), ("import os", "import sys")],
)
def test_code_and_the_content_of_strings_count(old: str, new: str) -> None:
    """A change of code, a blank line inside a string included, changes the normal form."""
    assert normalise(CODE) != normalise(CODE.replace(old, new, 1))


def test_a_hash_sign_inside_a_string_is_no_comment() -> None:
    """A string with a hash sign stays whole, formatted ones and what follows them included."""
    assert normalise('x = "a # b"') != normalise('x = "a"')
    assert normalise('x = f"{y} # b"  # c') == normalise('x = f"{y} # b"')
    assert normalise('x = f"{y} # b"') != normalise('x = f"{y}"')


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a scripts folder where run.py imports a package module that imports another."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text('"""Doc."""\n')
    (tmp_path / "package" / "direct.py").write_text("from package import indirect\n")
    (tmp_path / "package" / "indirect.py").write_text("VALUE = 1\n")
    (tmp_path / "package" / "unrelated.py").write_text("VALUE = 1\n")
    (tmp_path / "run.py").write_text("from package.direct import indirect\n")
    (tmp_path / "env.yaml").write_text("a: 1\n")
    return tmp_path


def test_the_closure_follows_imports_through_other_modules(tree: Path) -> None:
    """Direct and indirect imports and package files are found, unrelated modules are not."""
    names = {path.name for path in closure(tree / "run.py")}
    assert names == {"run.py", "__init__.py", "direct.py", "indirect.py"}


@pytest.mark.parametrize(
    "file, text, changes",
    [
        ("package/indirect.py", "VALUE = 2\n", True),
        ("package/indirect.py", '"""New."""\n\nVALUE = 1  # same\n', False),
        ("package/unrelated.py", "VALUE = 2\n", False),
        ("env.yaml", "a: 2\n", True),
        ("env.yaml", "# why\na: 1\n", False),
        ("run.py", "from package.direct import indirect\nprint(indirect)\n", True),
    ],
)
def test_the_hash_changes_with_reached_code_only(
    tree: Path, file: str, text: str, changes: bool
) -> None:
    """The hash follows the script, what it reaches and its environment, and nothing else."""
    before = _fresh_hash(tree)
    (tree / file).write_text(text)
    assert (_fresh_hash(tree) != before) is changes


def _fresh_hash(tree: Path) -> str:
    read_source.cache_clear()
    return code_hash(tree / "run.py", tree / "env.yaml")
