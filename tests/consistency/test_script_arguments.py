"""Rules and the functions behind them use the same names; see `lorabench.arguments`."""

import ast
import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from consistency.test_layers import rule_blocks
from lorabench.arguments import arguments_of

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
BLOCKS = rule_blocks()


# params that are no text
VALUES = {"min_judged_share": 0.9}


class Entries(dict[str, object]):
    """Named entries, one value each."""


def names_in(block: str, section: str) -> list[str]:
    """Return the names of the entries of a section of a rule; a rule may do without it."""
    found = re.search(rf"^( +){section}:\n((?:\1 +.*\n)+)", block, re.MULTILINE)
    if found is None:
        return []
    return re.findall(rf"^{found[1]} {{4}}(\w+)=", found[2], re.MULTILINE)


def unused_of(script: Path) -> tuple[str, ...]:
    """Return the names that a script lists as unused."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "unused":
            return tuple(ast.literal_eval(node.value))
    return ()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_rules_names_are_the_parameters_of_its_function(name: str) -> None:
    """Each name is a parameter or listed as unused, and each parameter has its name."""
    block, script = BLOCKS[name], SCRIPTS / f"{name}.py"
    wildcards = set(re.findall(r"\{(\w+)\}", re.search(r" output:\n[\s\S]+? log:", block)[0]))  # type: ignore[index]
    given = SimpleNamespace(
        input=Entries(dict.fromkeys(names_in(block, "input"), "folder/file")),
        output=Entries(dict.fromkeys(names_in(block, "output"), "folder/file")),
        params=Entries(
            {name: VALUES.get(name, "folder/file") for name in names_in(block, "params")}
        ),
        wildcards=Entries(dict.fromkeys(wildcards, "0")),
        resources=Entries(dict.fromkeys(names_in(block, "resources"), 1)),
        log=["log"],
        threads=1,
    )
    function = getattr(importlib.import_module(name), name)
    assert arguments_of(given, function, unused_of(script))
