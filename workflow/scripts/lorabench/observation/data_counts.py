"""Count what a training learned from, and warn of what it did not see."""

import logging
from collections.abc import Sequence
from typing import Protocol

logger = logging.getLogger(__name__)

# share of the conversations
WORTH_A_WORD = 0.05


class Conversation(Protocol):
    """A conversation as tokens, see `lorabench.training.encode.Encoded`."""

    @property
    def input_ids(self) -> list[int]:
        """All tokens."""

    @property
    def cut_tokens(self) -> int:
        """Tokens beyond the length limit."""

    @property
    def label_count(self) -> int:
        """Tokens that the loss counts."""


def count_split(split: str, items: Sequence[Conversation], dropped: int) -> dict[str, int]:
    """Return the counts of a split, its name before each; `dropped` had nothing to learn."""
    cut = sum(item.cut_tokens > 0 for item in items)
    if cut + dropped > WORTH_A_WORD * (len(items) + dropped):
        logger.warning(
            "%s: %d of %d conversations are longer than max_seq_length: cut there, or left out (%d)"
            " where no answer begins before",
            split,
            cut + dropped,
            len(items) + dropped,
            dropped,
        )
    counts = {
        "conversations": len(items),
        "tokens": sum(len(item.input_ids) for item in items),
        # what attention costs goes by
        "squared_tokens": sum(len(item.input_ids) ** 2 for item in items),
        "label_tokens": sum(item.label_count for item in items),
        "truncated_conversations": cut,
        "cut_tokens": sum(item.cut_tokens for item in items),
        "dropped_without_labels": dropped,
    }
    return {f"{split}_{name}": count for name, count in counts.items()}
