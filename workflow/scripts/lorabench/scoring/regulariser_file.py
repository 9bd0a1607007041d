"""Check AlpacaEval's table for length control, without the packages that use it."""

from pathlib import Path

from lorabench.errors import DataError
from lorabench.files import sha256_file

# df_gamed.csv at 2edc6fad
REGULARISER_SHA256 = "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d"


def check_regulariser_file(path: Path) -> None:
    """Raise DataError where the file is missing or is not that of the pinned revision."""
    if not path.is_file() or sha256_file(path) != REGULARISER_SHA256:
        raise DataError(
            f"{path}: expected df_gamed.csv of the hub's tatsu-lab/alpaca_eval at 2edc6fad, "
            f"SHA-256 {REGULARISER_SHA256}"
        )
