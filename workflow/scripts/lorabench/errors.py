"""Errors that a user can act on.

    LorabenchError
    ├── ConfigurationError   a config key or value is wrong
    ├── PrerequisiteError    a token, GPU, licence, disk space or package is missing
    ├── DataError            a file or row does not have the expected shape
    ├── JudgeError           a judge cannot be used or answered wrongly
    └── MeasurementError     a measurement cannot be trusted

A message says what is wrong, where, what was expected and what to do, in one line. Jobs show it
without a traceback; the traceback goes to the rule's log.
"""

from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any


class LorabenchError(Exception):
    """Base of all errors that carry their own explanation."""


class ConfigurationError(LorabenchError):
    """A config key or value is wrong."""


class PrerequisiteError(LorabenchError):
    """Something outside the project is missing: a token, a licence, a GPU, disk space."""


class DataError(LorabenchError):
    """A file or one of its rows does not have the expected shape."""


class JudgeError(LorabenchError):
    """A judge cannot be reached, is retired, or gives no usable answer."""


class MeasurementError(LorabenchError):
    """A measurement failed one of its checks."""


def unreadable(place: str, error: Exception, lines: int = 0) -> DataError:
    """Return what to say of JSON that cannot be read, from Python's own error.

    Args:
        place: the file.
        lines: that come before this JSON in the file.
    """
    if isinstance(error, FileNotFoundError):
        return DataError(f"{place}: no such file")
    if isinstance(error, OSError):
        return DataError(f"{place}: cannot be read ({error.strerror})")
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{place}: not UTF-8 (byte {error.start + 1}); save it as UTF-8")
    if isinstance(error, JSONDecodeError):
        return DataError(f"{place}:{lines + error.lineno}: not JSON ({error.msg})")
    # nested too deeply, or an integer of thousands of digits
    return DataError(f"{place}: JSON that cannot be read ({error})")


def missing_weights(place: str, names: Sequence[str]) -> DataError:
    """Return what to say of a checkpoint without some of its model's weights."""
    return DataError(
        f"{place}: the files lack {len(names)} of the model's weights, such as {names[0]}; fetch or"
        " save the checkpoint again"
    )


def error_of_process(report: Any) -> Exception:
    """Return a training process's error: a dict if Python raised it, text if a signal ended it."""
    text = report["message"] if isinstance(report, dict) else str(report)
    name, _, message = text.partition(": ")
    kind = globals().get(name)
    return kind(message) if kind else RuntimeError(f"a training process failed: {text}")
