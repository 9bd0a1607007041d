"""What models have answered so far, on disk as it comes: nothing finished is asked again.

    {all runs}/{run}/{variant}-{identity}/{benchmark}.{shard}-of-{shards}.jsonl

Each job appends to its own file and reads those that other runs have of the same identity and
benchmark.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from lorabench.errors import DataError
from lorabench.files import sha256_json

logger = logging.getLogger(__name__)


class ResponseStore:
    """A growing JSON Lines file of answers, found again by a hash of (identity, request).

    Each answer is one write of one line, so that a process that is killed loses at most what was
    not yet added; a torn last line is cut off when the file is opened again.

    Args:
        path: the file; its folder is made if needed.
        identity: all that the answer depends on besides the request (model, dtype, versions),
            JSON values.
        others: files that other jobs write; they are read and never changed.
    """

    def __init__(self, path: Path, identity: dict[str, Any], others: Iterable[Path] = ()) -> None:
        self._identity = sha256_json(identity)
        # requests answered from the store
        self.hits = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._answers: dict[str, Any] = {}
        for other in others:
            self._answers |= _read(other)[0]
        if path.exists():
            answers, whole = _read(path)
            self._answers |= answers
            if whole < path.stat().st_size:
                os.truncate(path, whole)
        self._file = path.open("a", encoding="utf-8")
        self._lock: int | None = None

    def get(self, request: list[Any]) -> Any | None:
        """Return the stored answer to a request (JSON values), or None."""
        answer = self._answers.get(self._key(request))
        self.hits += answer is not None
        return answer

    def add(self, request: list[Any], answer: Any) -> None:
        """Store an answer (any JSON value but null); the line is written when this returns."""
        key = self._key(request)
        self._answers[key] = answer
        self._file.write(
            json.dumps({"key": key, "answer": answer}, ensure_ascii=False, allow_nan=False) + "\n"
        )
        self._file.flush()

    def hold(self, lock: int | None) -> Self:
        """Take over the file descriptor of a lock, which is closed with the store."""
        self._lock = lock
        return self

    def __enter__(self) -> Self:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and let waiting jobs read it."""
        self._file.close()
        if self._lock is not None:
            os.close(self._lock)

    def _key(self, request: list[Any]) -> str:
        return sha256_json([self._identity, request])


def open_shared(folder: Path, variant: str, part: str, identity: dict[str, Any]) -> ResponseStore:
    """Return the store of a job, with the answers that other runs have of the same identity.

    Where another job computes the same part of the same weights, this one waits for it and then
    takes its answers.

    Args:
        folder: the run's folder in the folder of all runs.
        variant: for the name of the folder.
        part: `{benchmark}.{shard}-of-{shards}`.
        identity: see `ResponseStore`.
    """
    runs, same = folder.parent, f"{variant}-{sha256_json(identity)[:16]}"
    runs.mkdir(parents=True, exist_ok=True)
    lock = _lock(runs / f".{same}.{part}.lock")
    own = folder / same / f"{part}.jsonl"
    benchmark = part.partition(".")[0]
    others = [file for file in runs.glob(f"*/{same}/{benchmark}.*.jsonl") if file != own]
    return ResponseStore(own, identity, sorted(others)).hold(lock)


def _lock(path: Path) -> int | None:
    """Return the descriptor of a file that this process has locked; the lock ends with the process.

    None where the file system knows no locks: two jobs may then compute the same, each in its own
    file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        logger.info("another job computes the same answers; this one waits and takes them")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """Return the answers in a store's file by key, and the bytes of its whole lines.

    Raises:
        DataError: another line than the last cannot be read.
    """
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
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
    return answers, len(whole)
