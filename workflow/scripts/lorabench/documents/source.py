"""Where a model, conversations or a benchmark come from: source.json."""

from typing import Literal

from typing_extensions import TypedDict

from lorabench.documents.limits import Sha256, Whole

SourceKind = Literal["hub", "path", "wheel", "built-in"]


class SourceRecord(TypedDict):
    """What source.json says of the files in its folder."""

    schema_version: Literal[1]
    kind: SourceKind
    origin: str
    """repo@revision, path, package==version, or the project itself."""
    revision: str | None
    """Commit, version or seed; null where there is no such thing."""
    sha256: dict[str, Sha256]
    """File in the folder, or the wheel that it came from -> SHA-256."""
    rows: dict[str, Whole]
    """Data file -> rows."""
    licence: str | None
    """As the source names it."""
