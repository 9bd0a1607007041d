"""Arguments of a rule's function, taken by name from what Snakemake gives to its job.

A rule and the function behind it use the same names. Each parameter is looked for among the rule's
inputs, outputs, params and wildcards, then among its resources, `threads` and `log`; its type hint
says what is made of the value:

    Path, Path | None         one file; None where the rule names none
    Folder, Folder | None     the folder of the file or files that the rule names
    list[Path]                any number of files (Sequence[Path] is the same)
    Mapping[str, Path]        files by their names without the suffix
    str, int, float           a wildcard, as that type
    a dataclass               made of its fields, each found in the same way
    anything else             the value, unchanged
"""

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from lorabench.errors import ConfigurationError

# what `Folder` is recognised by
_PARENT = object()
Folder = Annotated[Path, _PARENT]
# The hash of the code is there to make jobs stale and reaches no function.
NOT_FOR_FUNCTIONS = ("code",)
OF_THE_JOB: dict[str, Callable[[Any], Any]] = {
    "threads": lambda given: given.threads,
    "log": lambda given: Path(given.log[0]),
}


def arguments_of(
    given: Any, function: Callable[..., Any], unused: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the keyword arguments of `function` for a job.

    Args:
        given: the `snakemake` object of a `script:` job.
        function: the rule's function; all its parameters have type hints.
        unused: inputs, outputs and params that the function does not take: inputs that only make
            the job stale, outputs that are written together with others.

    Raises:
        ConfigurationError: a parameter has no value, a name means two things, or the rule
            has an input, output or param that neither the function nor `unused` names.
    """
    named = {
        place: dict(getattr(given, place).items())
        for place in ("input", "output", "params", "wildcards")
    }
    resources = dict(given.resources.items())
    offered = {name for place in ("input", "output", "params") for name in named[place]}
    faults = [
        f"{place} has an entry without a name"
        for place in ("input", "output")
        if _has_unnamed(getattr(given, place))
    ]
    taken: set[str] = set()

    def value_of(name: str, hint: Any, default: Any) -> Any:
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            hints = get_type_hints(hint, include_extras=True)
            return hint(**{key: value_of(key, hints[key], default) for key in hints})
        taken.add(name)
        found = [place for place, values in named.items() if name in values]
        if len(found) == 1:
            try:
                return convert(named[found[0]][name], hint)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        elif found:
            faults.append(f"{name} means two things, {' and '.join(found)}")
        elif name in resources:
            return resources[name]
        elif name in OF_THE_JOB:
            return OF_THE_JOB[name](given)
        elif default is inspect.Parameter.empty:
            faults.append(f"{function.__name__} takes {name}, which the rule does not name")
        return default

    hints = get_type_hints(function, include_extras=True)
    arguments = {
        name: value_of(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    for name in sorted(offered - taken - {*unused, *NOT_FOR_FUNCTIONS}):
        faults.append(f"the rule names {name}, which {function.__name__} does not take")
    for name in sorted(set(unused) - (offered - taken)):
        faults.append(f"{name} is listed as unused, but is no such name of the rule")
    if faults:
        raise ConfigurationError(
            f"rule and script do not fit: {'; '.join(faults)}; use the same names in both"
        )
    return arguments


def convert(value: Any, hint: Any) -> Any:
    """Return the value of a rule's entry as the type that a parameter's hint names.

    Raises:
        ValueError: the value is no file, or not the one file that the hint asks for.
    """
    optional = _optional(hint)
    if optional is not None:
        return None if value is None or value == [] else convert(value, optional)
    if hint is Path:
        return _one_file(value)
    if hint == Folder:
        folders = {Path(file).parent for file in ([value] if isinstance(value, str) else value)}
        if len(folders) != 1:
            raise ValueError(f"expected files of one folder, found {value!r}")
        return folders.pop()
    if get_origin(hint) in (list, Sequence) and get_args(hint) == (Path,):
        return [Path(file) for file in ([value] if isinstance(value, str) else value)]
    if get_origin(hint) is Mapping and get_args(hint) == (str, Path):
        return {Path(file).stem: Path(file) for file in value}
    return hint(value) if hint in (str, int, float) else value


def _one_file(value: Any) -> Path:
    """Return the path that a rule's entry names; a list of one counts as one."""
    if not isinstance(value, str) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError(f"expected one file, found {value!r}")
    return Path(value)


def _optional(hint: Any) -> Any:
    """Return X of a hint `X | None` for files, None for any other hint."""
    if get_origin(hint) not in (Union, types.UnionType):
        return None
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and kinds[0] in (Path, Folder) else None


def _has_unnamed(entries: Any) -> bool:
    """Return whether a rule's inputs or outputs include files without a name."""
    named = sum(1 if isinstance(value, str) else len(value) for _, value in entries.items())
    return len(entries) > named
