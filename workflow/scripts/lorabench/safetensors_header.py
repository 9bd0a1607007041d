"""Read the header of a safetensors file; needs no torch and reads no weight."""

import json
import math
import operator
import re
from pathlib import Path
from typing import Any

from lorabench.errors import DataError


def read_header(path: Path) -> dict[str, list[int]]:
    """Return name -> shape of the tensors in a safetensors file.

    Raises:
        DataError: see `read_entries`.
    """
    return {name: entry["shape"] for name, entry in read_entries(path)[0].items()}


def read_entries(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Return name -> dtype, shape, data_offsets of the tensors, and where the offsets begin.

    The file is 8 bytes with the header's length (little endian), the header as JSON, then the
    tensors.

    Raises:
        DataError: the file is missing, is not safetensors, or is not as long as its header says, as
            after a cut-off download or where git-lfs left a pointer.
    """
    if not path.is_file():
        pickle = path.with_suffix(".bin")
        instead = (
            f"; {pickle.name} is there, which can run code when loaded: save it as safetensors"
            if pickle.is_file()
            else ""
        )
        raise DataError(f"{path}: no such file{instead}")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            # any other file seems to begin with a length beyond its own
            header: dict[str, Any] = json.loads(file.read(length)) if length <= size - 8 else {}
        header.pop("__metadata__", None)
        end = 8 + length + max((_end(entry) for entry in header.values()), default=0)
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
        end = -1
    if end != size:
        raise DataError(
            f"{path}: not a whole safetensors file ({size} bytes); fetch or copy it again (git lfs"
            " pull, for a clone)"
        )
    return header, 8 + length


def _end(entry: dict[str, Any]) -> int:
    """Return where a tensor ends, counted from the end of the header.

    Raises:
        ValueError, TypeError, LookupError: its bytes are not as many as its shape needs.
    """
    first, last = entry["data_offsets"]
    # F32, BF16, F8_E4M3, BOOL
    digits = re.search("[0-9]+", entry["dtype"])
    bits = math.prod(map(operator.index, entry["shape"])) * (int(digits[0]) if digits else 8)
    if not 0 <= first <= last or bits != 8 * (last - first):
        raise ValueError
    return int(last)
