"""What a model has answered so far, on disk as it comes, so that a killed job repeats nothing that
was finished."""

import json
import os
from pathlib import Path
from typing import Any, Self

from lorabench.errors import DataError
from lorabench.files import sha256_json


class ResponseStore:
    """A growing JSON Lines file of answers, found again by a hash of (identity, request).

    Each answer is one write of one line, so that a process that is killed loses at most what was
    not yet added; a torn last line is cut off when the file is opened again.

    Args:
        path: the file; its folder is made if needed.
        identity: all that the answer depends on besides the request (model, dtype, versions),
            JSON values.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self._identity = sha256_json(identity)
        # requests answered from the store
        self.hits = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._answers = _read(path)
        self._file = path.open("a", encoding="utf-8")

    def get(self, request: list[Any]) -> Any | None:
        """Return the stored answer to a request (JSON values), or None."""
        answer = self._answers.get(self._key(request))
        self.hits += answer is not None
        return answer

    def add(self, request: list[Any], answer: Any) -> None:
        """Store an answer (a JSON value other than null); the line has left the process when this
        returns."""
        key = self._key(request)
        self._answers[key] = answer
        self._file.write(
            json.dumps({"key": key, "answer": answer}, ensure_ascii=False, allow_nan=False) + "\n"
        )
        self._file.flush()

    def __enter__(self) -> Self:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def _key(self, request: list[Any]) -> str:
        return sha256_json([self._identity, request])


def _read(path: Path) -> dict[str, Any]:
    """Return the answers in a store's file, by key; cut off a torn last line.

    Raises:
        DataError: another line than the last cannot be read.
    """
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    answers = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            answers[row["key"]] = row["answer"]
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}:{number}: not a stored answer; delete the file to compute its answers"
                " again"
            ) from None
    return answers
