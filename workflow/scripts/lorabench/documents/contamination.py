"""Overlap of training conversations and benchmark items: results/{run}/data/contamination.json."""

from typing import Literal

from typing_extensions import TypedDict

from lorabench.documents.limits import Positive, Whole


class OverlappingItem(TypedDict):
    """An item that shares at least one n-gram with the training conversations."""

    id: str
    ngrams: Positive
    """Different n-grams of the item."""
    shared: Positive
    """Of these, found in training conversations."""
    conversations: list[str]
    """Ids of the conversations that hold one, sorted."""
    example: str
    """The first shared n-gram of the item."""


class NgramOverlap(TypedDict):
    """The comparison of all items of a benchmark at one length of n-grams."""

    comparable: Whole
    """Items with at least one n-gram; shorter ones cannot be compared."""
    overlapping: list[OverlappingItem]
    """In item order."""


class BenchmarkOverlap(TypedDict):
    """The comparison of a benchmark."""

    items: Whole
    by_ngram_words: dict[str, NgramOverlap]
    """Words in a row -> overlap."""


class Contamination(TypedDict):
    """The content of contamination.json."""

    schema_version: Literal[1]
    conversations: Whole
    benchmarks: dict[str, BenchmarkOverlap]
