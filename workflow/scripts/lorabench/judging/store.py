"""Keep every judge answer the moment it arrives, under the hash of judge, parameters and prompt.

A folder of JSON Lines files that all runs share: a folder for each run, in it one file for each job
that writes, so that no two processes append to one file. What a run paid is in the run's folder;
answers that another run paid are taken and cost nothing. Each answer is one line, written by one
call and synced to disk before the next is taken. A killed run leaves at most a torn last line,
which readers skip; whatever was answered is never asked again, by any job that uses the folder.
Requests that a judge may have charged for without an answer that can be read are lines, too, with
what they may have cost at most.
"""

import json
import logging
import math
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorabench.judging.exchange import JudgeRequest, Reply

logger = logging.getLogger(__name__)


class AnswerStore:
    """The answers in `folder`; new ones go to `{writer}.jsonl`. Use as a context manager."""

    def __init__(self, folder: Path, writer: str) -> None:
        """Open the store and read what is there."""
        self.folder = folder
        self.path = folder / f"{writer}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._answers: dict[str, Reply] = {}
        # bytes taken from each file
        self._read: dict[Path, int] = {}
        # of this run
        self._usd = 0.0
        # of this writer, in this and earlier runs
        self.lost_requests = 0
        self.lost_usd = 0.0
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._end_torn_line()
        self.refresh()

    def __enter__(self) -> "AnswerStore":
        """Return the open store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file that this job writes."""
        os.close(self._file)

    def _end_torn_line(self) -> None:
        """End a line that a killed writer left incomplete, so that the next answer has its own."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def refresh(self) -> None:
        """Take in the answers that were written since the last look, by this job or by others."""
        for path in sorted(self.folder.glob("**/*.jsonl")):
            start = self._read.get(path, 0)
            if path.stat().st_size <= start:
                continue
            with path.open("rb") as file:
                file.seek(start)
                text = file.read()
            # a line without an end is being written, or was torn
            whole = text.rfind(b"\n") + 1
            self._read[path] = start + whole
            for line in text[:whole].splitlines():
                self._take(path, line)

    def _take(self, path: Path, line: bytes) -> None:
        if not line.strip():
            return
        try:
            record = json.loads(line)
            of_this_run = path.parent == self.path.parent
            if "lost_usd" in record:
                usd = _cost(record["lost_usd"])
                self._usd += usd if of_this_run else 0.0
                if path == self.path:
                    self.lost_requests += 1
                    self.lost_usd += usd
                return
            reply = Reply(**record["reply"] | {"dropped": tuple(record["reply"]["dropped"])})
            usd = _cost(reply.usd)
            self._usd += usd if of_this_run else 0.0
            reply = replace(reply, other_run=not of_this_run)
            # the first counts, and what this run paid before what another did
            known = self._answers.get(record["key"])
            if known is None or (known.other_run and not reply.other_run):
                self._answers[record["key"]] = reply
        except (ValueError, KeyError, TypeError):
            logger.warning("%s: skipped one damaged line (a run was killed while writing it)", path)

    def __contains__(self, key: str) -> bool:
        """Return whether there is an answer."""
        return key in self._answers

    def answer(self, key: str) -> Reply:
        """Return the stored answer, marked as cached; KeyError where it is missing."""
        return replace(self._answers[key], cached=True)

    def put(self, key: str, identity: dict[str, Any], request: JudgeRequest, reply: Reply) -> None:
        """Write one answer and wait until it is on the disk."""
        self._append(identity, request, {"key": key, "reply": asdict(reply)})

    def put_lost(
        self, identity: dict[str, Any], request: JudgeRequest, usd: float, reason: str
    ) -> None:
        """Write that a request may have cost up to `usd` and brought no answer, and why."""
        self._append(identity, request, {"lost_usd": usd, "reason": reason})

    def _append(
        self, identity: dict[str, Any], request: JudgeRequest, fields: dict[str, Any]
    ) -> None:
        record = {
            "schema_version": 1,
            "judge": identity,
            "item": request.item,
            "parameters": request.parameters,
            "attempt": request.attempt,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **fields,
        }
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
        written = os.write(self._file, line)
        while written < len(line):
            written += os.write(self._file, line[written:])
        os.fsync(self._file)
        self.refresh()

    def spent_usd(self) -> float:
        """Return what this run has paid, lost answers included."""
        self.refresh()
        return self._usd


def _cost(value: Any) -> float:
    """Return an amount of money; what is none would switch the limit off."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no amount")
    return float(value)
