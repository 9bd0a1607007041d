"""The config sections of preparing and comparing conversations."""

from typing import Annotated

from pydantic import Field

from lorabench.section import Count, Distinct, Section, Share, Text


class PreparationSettings(Section):
    """One top-ranked path a tree -> training and validation conversations."""

    languages: Distinct[Text]
    """Language codes to keep, of the prompt; empty = all."""
    exclude_synthetic: bool
    """Never choose messages that a model wrote."""
    min_quality: Share | None
    """Reviewers' label; a conversation with an answer below it is dropped, unlabelled answers
    pass."""
    max_toxicity: Share | None
    """Reviewers' label; a conversation with a message above it is dropped, unlabelled messages
    pass."""
    max_characters: Count | None
    """Of the whole conversation; longer ones are dropped."""
    max_turns: Count | None
    """Answers of the assistant; longer conversations are dropped."""
    max_conversations: Count | None
    """First n of each split; null = all."""
    validation_share: float = Field(gt=0, lt=1)
    """Share of trees held out, by hash of their id, where the source has no split."""


class ContaminationSettings(Section):
    """Overlap of the training conversations with the benchmarks' items."""

    ngrams: Distinct[Annotated[int, Field(ge=1, le=1000)]] = Field(min_length=1)
    """Lengths of shared word sequences to look for."""
