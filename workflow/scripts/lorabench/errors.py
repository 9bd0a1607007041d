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
