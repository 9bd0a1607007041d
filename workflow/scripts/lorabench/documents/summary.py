"""Prepared conversations: results/{run}/data/summary.json."""

from typing import Literal

from typing_extensions import TypedDict

from lorabench.documents.limits import Positive, Sha256, Whole


class CutCounts(TypedDict):
    """Conversations kept without their end: after the last answer, or from an empty message on."""

    conversations: Whole
    messages: Whole


class SplitCounts(TypedDict):
    """What became of the trees of a split."""

    trees: Whole
    kept: Whole
    dropped: dict[str, Positive]
    """Reason -> trees."""
    cut: CutCounts
    languages: dict[str, Positive]
    """ISO 639-1 code -> conversations."""
    turns: Whole
    characters: Whole
    neutralised_control_tokens: Whole


class Splits(TypedDict):
    """The two splits."""

    train: SplitCounts
    validation: SplitCounts


class DataCounts(TypedDict):
    """The counts of a preparation."""

    trees: Whole
    splits: Splits
    remarks: list[str]
    """Sentences about losses above 5 % of a split."""


class DataSummary(DataCounts):
    """The content of summary.json."""

    schema_version: Literal[1]
    sha256: dict[str, Sha256]
    """File name -> SHA-256."""
