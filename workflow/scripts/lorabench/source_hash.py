"""Hash the code behind a rule: its script, every package module that the script reaches, and its environment file.

Comments, docstrings and blank lines do not count, so that documentation never makes a trained adapter stale.
The text itself is hashed, not the syntax tree, whose printed form changes between Python versions.
"""

import ast
import functools
import hashlib
import io
import tokenize
from pathlib import Path


def code_hash(script: Path, environment: Path) -> str:
    """Return a hash over the normalised text of `script`, the modules it imports and the `environment` YAML.

    Args:
        script: a file in the scripts folder; imports are resolved against that folder.
        environment: the rule's conda file; its comments and blank lines do not count.
    """
    digest = hashlib.sha256()
    for path in sorted(closure(script)):
        digest.update(f"{path.relative_to(script.parent)}\n{_normalised(path)}\n".encode())
    lines = [line.split(" #")[0].rstrip() for line in environment.read_text(encoding="utf-8").splitlines()]
    digest.update("\n".join(line for line in lines if line and not line.lstrip().startswith("#")).encode())
    return digest.hexdigest()[:16]


def closure(script: Path) -> set[Path]:
    """Return `script` and all files of its folder that it imports, directly or through others."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path, script.parent))
    return found


@functools.cache
def _imports(path: Path, scripts: Path) -> tuple[Path, ...]:
    """Return the files below `scripts` that the file imports, package `__init__` files included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            base = scripts.joinpath(*parts[:length])
            files.update(file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file())
    return tuple(sorted(files))


@functools.cache
def _normalised(path: Path) -> str:
    return normalise(path.read_text(encoding="utf-8"))


def normalise(text: str) -> str:
    """Return Python source without comments, docstrings, trailing spaces and blank lines; other strings stay whole."""
    lines = text.splitlines()
    tree = ast.parse(text)
    cuts: list[
        tuple[int, int, int, int]
    ] = []  # (first line, column, last line, column), lines from 0, columns in characters
    kept: set[int] = set()  # lines inside multi-line strings, where a blank line is content
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno is not None:
            kept.update(range(node.lineno - 1, node.end_lineno - 1))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = _docstring(node)
            if docstring is not None:
                cuts.append(_span(docstring, lines))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            cuts.append((token.start[0] - 1, token.start[1], token.end[0] - 1, token.end[1]))
    for first, start, last, end in sorted(cuts, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]] + [""] * (last - first)
        kept.difference_update(range(first, last + 1))
    return "\n".join(
        line if number in kept else line.rstrip() for number, line in enumerate(lines) if number in kept or line.strip()
    )


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.expr | None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value
    return None


def _span(node: ast.expr, lines: list[str]) -> tuple[int, int, int, int]:
    """Return the node's position in characters; the syntax tree counts columns in UTF-8 bytes."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    start = len(lines[first].encode()[: node.col_offset].decode())
    end = len(lines[last].encode()[: node.end_col_offset].decode())
    return first, start, last, end
