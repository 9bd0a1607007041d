"""Every fault of a config in one line: file and line, key, what was expected, what was found."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lorabench.control.config.files import Places
from lorabench.control.config.sections import Config
from lorabench.data.sources.source import KINDS

# by type of pydantic's errors
EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "dict_type": "a section of keys",
}
BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


# the path of a key, what is wrong
Fault = tuple[tuple[str, ...], str]


def find_faults(config: Mapping[str, Any]) -> list[Fault]:
    """Return each place where a whole config is not what its sections declare."""
    try:
        Config.model_validate(config)
    except ValidationError as error:
        found = [_describe(detail, config) for detail in error.errors(include_url=False)]
    else:
        return []
    # a fault of `judge` is one of both judges, and is named once
    shared = {path[1:] for path, _ in found if path[0] == "judge"}
    faults = [
        (path, message)
        for path, message in found
        if not (path[0].startswith("judge_") and path[1:2] == ("judge",) and path[2:] in shared)
    ]
    return _one_a_key(faults)


def _one_a_key(faults: Sequence[Fault]) -> list[Fault]:
    """Join the faults of each key.

    A key that takes several types has one fault for each of them.
    """
    by_path: dict[tuple[str, ...], list[str]] = {}
    for path, message in faults:
        by_path.setdefault(path, []).append(message)
    joined = []
    for path, messages in by_path.items():
        expected = [message.partition(", found ")[0] for message in messages]
        found = messages[0].partition(", found ")[1:]
        words = dict.fromkeys(
            text.removeprefix("expected ").removeprefix("one of ") for text in expected
        )
        several = len(words) > 1 and all(text.startswith("expected ") for text in expected)
        joined.append(
            (path, f"expected {' or '.join(words)}{''.join(found)}" if several else messages[0])
        )
    return joined


def fault_line(path: Sequence[str], message: str, places: Places) -> str:
    """Return the line of a fault; its place is that of the key, or of the section around it.

    Args:
        places: key path -> "file:line" or the environment variable that sets it.
    """
    known = next(
        (tuple(path[:end]) for end in range(len(path), 0, -1) if tuple(path[:end]) in places), None
    )
    return f"{f'{places[known]}: ' if known else ''}{_name(path)}: {message}"


def _name(path: Sequence[str]) -> str:
    """Return a key's name, in quotes where it holds what cannot be seen."""
    name = ".".join(path) or "config"
    return name if name.isprintable() else _shown(name)


def _describe(detail: ErrorDetails, config: Mapping[str, Any]) -> Fault:
    """Return the path of the key and what is wrong with it."""
    path, section = _path(detail["loc"], config)
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in ("extra_forbidden", "invalid_key"):
        near = difflib.get_close_matches(path[-1], _keys(path[:-1]), n=1, cutoff=0.0)
        return path, f"unknown key; did you mean {near[0]!r}?" if near else "unknown key"
    if kind == "missing":
        return path, f"the key is missing{_needed_by(section)}"
    if kind in EXPECTED:
        return path, f"expected {EXPECTED[kind]}, found {_shown(value)}{_hint(kind, value)}"
    if kind in BOUNDS:
        words, key = BOUNDS[kind]
        return path, f"expected {words} {_number(context[key])}, found {_shown(value)}"
    if kind == "literal_error":
        return path, f"expected one of {_choices(context['expected'])}, found {_shown(value)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        found = value.get("kind") if isinstance(value, Mapping) else value
        return (*path, "kind"), f"expected one of {', '.join(KINDS)}, found {_shown(found)}"
    if kind == "too_short":
        return path, "expected at least one, found []"
    if kind == "value_error":
        return path, str(context["error"]).replace(repr(value), _shown(value))
    return path, f"{detail['msg'][0].lower()}{detail['msg'][1:]}, found {_shown(value)}"


def _path(
    location: Sequence[int | str], config: Mapping[str, Any]
) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return a key path without pydantic's own steps, and the mapping around the key."""
    path: list[str] = []
    here: Any = config
    section: Mapping[str, Any] = config
    of_kind: Any = None
    for number, step in enumerate(location):
        inside = isinstance(here, Mapping)
        if step == "[key]":
            continue
        # pydantic's step into a kind: the first below a source, and never the last
        last = number == len(location) - 1
        if inside and step == here.get("kind") in KINDS and here is not of_kind and not last:
            of_kind = here
            continue
        # pydantic's step into one of several types of a value
        if not inside and not isinstance(here, list):
            continue
        if inside:
            section = here
        path.append(str(step))
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
    return tuple(path), section


def _keys(path: Sequence[str]) -> list[str]:
    """Return the keys that the section at `path` has, by the schema of the config."""
    schema = Config.model_json_schema()
    nodes = [schema]
    for step in path:
        nodes = [
            below
            for node in nodes
            for below in options(node.get("properties", {}).get(step, {}), schema)
        ]
    return list(dict.fromkeys(key for node in nodes for key in node.get("properties", {})))


def options(node: Mapping[str, Any], schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a JSON Schema node may be, references and alternatives resolved."""
    if "$ref" in node:
        target = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return options({**target, **rest}, schema)
    choices = node.get("oneOf") or node.get("anyOf")
    if choices is None:
        return [dict(node)]
    rest = {key: node[key] for key in node if key not in ("oneOf", "anyOf", "discriminator")}
    return [
        {**option, **({"description": rest["description"]} if "description" in rest else {})}
        for choice in choices
        for option in options(choice, schema)
    ]


def _needed_by(section: Mapping[str, Any]) -> str:
    kind = section.get("kind")
    return f"; a source of kind {kind!r} needs it" if kind in KINDS else "; config.yaml has it"


def _hint(kind: str, value: Any) -> str:
    """Return what probably happened."""
    if value is None and kind in ("model_type", "model_attributes_type", "dict_type"):
        return "; delete the line, or write the section's keys below it"
    if isinstance(value, str) and kind in ("int_type", "float_type", "bool_type"):
        try:
            number = float(value)
        except ValueError:
            return ""
        if kind == "float_type" and "e" in value.lower() and "." not in value:
            return f"; YAML reads {value} as text, write {number:.1e}"
        return "; write it without quotes"
    return ""


def _number(bound: float) -> str:
    return str(int(bound) if bound == int(bound) else bound)


def _choices(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _shown(value: Any) -> str:
    """Return a value as the user wrote it, short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
