"""Content of the adapter: results/{run}/adapter/fingerprint.json."""

from typing import Literal

from typing_extensions import TypedDict

from lorabench.documents.limits import Sha256


class Fingerprint(TypedDict):
    """The hashes by which later stages notice a new adapter."""

    schema_version: Literal[1]
    sha256: dict[str, Sha256]
    """File name -> SHA-256."""
