"""Hash the code behind a rule: script, modules that can change a result, environment file.

Comments, docstrings and blank lines do not count, so that documentation never makes a trained
adapter stale. The text itself is hashed, not the syntax tree, whose printed form changes between
Python versions.

Modules that only declare, observe or refuse do not count (`UNCOUNTED`), nor does what only they
import. A result that is there was not refused, and nothing that they return goes into its bits;
tests hold both, see docs/decisions.md.
"""

import ast
import functools
import hashlib
import io
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

UNCOUNTED = (
    # the form of the files between stages; their versions are in the code that writes them
    "lorabench/documents",
    # what reads the machine, shows progress and notes versions
    "lorabench/observation",
    # the keys of the config; their values are parameters of the rule, which Snakemake compares
    "lorabench/section.py",
    "lorabench/data/settings.py",
    "lorabench/training/settings.py",
    # refusals, which return nothing
    "lorabench/training/checks.py",
    # the frame of a job: log, lock, last line, and the arguments that the rule names
    "lorabench/arguments.py",
    "lorabench/errors.py",
    "lorabench/job.py",
)


def code_hash(script: Path, environment: Path, more: Iterable[Path] = ()) -> str:
    """Return a hash over `script`, the modules it imports and the `environment` YAML.

    Args:
        script: a file in the scripts folder; imports are resolved against that folder.
        environment: the rule's conda file; its comments and blank lines do not count.
        more: modules that the script imports by name, with what they import.
    """
    digest = hashlib.sha256()
    files = closure(script).union(*(closure(file, script.parent) for file in more))
    for path in sorted(files):
        digest.update(f"{path.relative_to(script.parent)}\n{read_source(path).text}\n".encode())
    lines = [
        line.split(" #")[0].rstrip()
        for line in environment.read_text(encoding="utf-8").splitlines()
    ]
    digest.update(
        "\n".join(line for line in lines if line and not line.lstrip().startswith("#")).encode()
    )
    return digest.hexdigest()[:16]


def closure(script: Path, scripts: Path | None = None, *, whole: bool = False) -> set[Path]:
    """Return `script` and the files of `scripts` (its own folder if None) that it reaches.

    Without those of `UNCOUNTED` and what only they import, unless `whole`.
    """
    folder = scripts or script.parent
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found and (whole or _counts(path.relative_to(folder))):
            found.add(path)
            waiting.extend(_files(read_source(path).imports, folder))
    return found


def _counts(module: Path) -> bool:
    return not any(module.is_relative_to(place) for place in UNCOUNTED)


@dataclass(frozen=True)
class Source:
    """What counts of a Python file."""

    # normalised
    text: str
    # dotted names in import statements
    imports: tuple[str, ...]


@functools.cache
def read_source(path: Path) -> Source:
    """Return the normalised text and the imports of a file; each file is read once a process."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return Source(text=normalise(text, tree), imports=tuple(sorted(names)))


def _files(names: Iterable[str], scripts: Path) -> set[Path]:
    """Return the files below `scripts` that dotted names mean, `__init__` included."""
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        if (scripts / parts[0]).is_dir() or (scripts / f"{parts[0]}.py").is_file():
            for length in range(1, len(parts) + 1):
                base = scripts.joinpath(*parts[:length])
                files.update(
                    file
                    for file in (base.with_suffix(".py"), base / "__init__.py")
                    if file.is_file()
                )
    return files


# first line, column, last line, column; lines from 0, columns in characters
Span = tuple[int, int, int, int]


def normalise(text: str, tree: ast.Module) -> str:
    """Return Python source without comments, docstrings, trailing spaces and blank lines."""
    lines = text.splitlines()
    strings: list[Span] = []
    cuts: list[Span] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        ):
            strings.append(_span(node, lines))
        # docstrings, those of a class's attributes included
        if isinstance(node, ast.Expr) and _is_text(node.value):
            cuts.append(_span(node.value, lines))
    cuts += _comments(text)
    # A blank line inside a string is content, up to the string's last line.
    kept = {line for first, _, last, _ in set(strings) - set(cuts) for line in range(first, last)}
    for first, start, last, end in sorted(cuts, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]] + [""] * (last - first)
    return "\n".join(
        line if number in kept else line.rstrip()
        for number, line in enumerate(lines)
        if number in kept or line.strip()
    )


def _comments(text: str) -> list[Span]:
    """Return the spans of comments.

    Comments are the one kind of token whose place is the same in every Python version that is
    supported: from 3.12 on a formatted string is several tokens, before it was one.
    """
    return [
        (token.start[0] - 1, token.start[1], token.end[0] - 1, token.end[1])
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _span(node: ast.expr, lines: list[str]) -> Span:
    """Return the node's position in characters; the syntax tree counts columns in UTF-8 bytes."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    start = len(lines[first].encode()[: node.col_offset].decode())
    end = len(lines[last].encode()[: node.end_col_offset].decode())
    return first, start, last, end
