"""Find benchmark items whose words occur in the training conversations: overlap of word n-grams.

A word is a run of letters and digits, in lower case; punctuation and spacing do not count. n = 13
is the length at which the GPT-3 paper calls an item contaminated (arXiv 2005.14165, appendix C); n
= 8 also finds shorter borrowings.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lorabench.documents.contamination import NgramOverlap, OverlappingItem

WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A benchmark item: texts that are compared separately, so that no n-gram spans two."""

    id: str
    texts: list[str]


def overlap(
    conversations: Iterable[tuple[str, list[str]]], items: list[Item], n: int
) -> NgramOverlap:
    """Compare all items with all conversations.

    Args:
        conversations: (id, texts of the messages).
    """
    grams = {
        item.id: dict.fromkeys(gram for text in item.texts for gram in word_ngrams(text, n))
        for item in items
    }
    found: dict[str, set[str]] = {gram: set() for own in grams.values() for gram in own}
    for conversation, texts in conversations:
        for text in texts:
            for gram in word_ngrams(text, n):
                if gram in found:
                    found[gram].add(conversation)
    overlapping: list[OverlappingItem] = []
    for identity, own in grams.items():
        shared = [gram for gram in own if found[gram]]
        if shared:
            overlapping.append(
                {
                    "id": identity,
                    "ngrams": len(own),
                    "shared": len(shared),
                    "conversations": sorted(set().union(*(found[gram] for gram in shared))),
                    "example": shared[0],
                }
            )
    return {"comparable": sum(map(bool, grams.values())), "overlapping": overlapping}


def word_ngrams(text: str, n: int) -> Iterator[str]:
    """Yield every run of n words of a text, joined by spaces."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).lower())
    for start in range(len(words) - n + 1):
        yield " ".join(words[start : start + n])


def benchmark_items(
    rows: Iterable[dict[str, Any]], item_texts: Callable[[dict[str, Any]], tuple[str, list[str]]]
) -> list[Item]:
    """Return the items of a benchmark's scored rows; rows of one id are one item.

    Args:
        rows: of the benchmark's `items_file`.
        item_texts: row -> its id and what a model could have learned, questions and answers.
    """
    parts: dict[str, list[str]] = defaultdict(list)
    for identity, texts in map(item_texts, rows):
        parts[identity] += texts
    return [Item(id=identity, texts=texts) for identity, texts in parts.items()]
