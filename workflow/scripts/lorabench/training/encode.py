"""Turn conversations into token ids and labels: loss on the assistant's text and end of turn only.

The tokenizer's own chat template is rendered up to each assistant turn and after it; the text
between the two renderings is the assistant's. So every template whose rendering grows by appending
works, with or without generation markers, and the pieces are tokenised at the same boundary as at
inference, where the model continues a rendered prompt.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from lorabench.chat import control_pattern, render_chat
from lorabench.documents.conversation import Message
from lorabench.training.checks import check_decodes, refuse_open_turn, refuse_rewriting

# label of tokens without loss, as in torch.nn.functional.cross_entropy
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One conversation as tokens."""

    id: str
    input_ids: list[int]
    # `input_ids` where the loss counts, else IGNORED; the first is IGNORED
    labels: list[int]
    # tokens beyond the length limit, which were dropped
    cut_tokens: int

    @property
    def label_count(self) -> int:
        """Tokens that the loss counts."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What training learns from, and what its evaluations measure it on."""

    train: list[Encoded]
    validation: list[Encoded]


def split_turns(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], where: str
) -> list[tuple[str, bool]]:
    """Split the rendered conversation into pieces of text, each with whether it is an answer.

    An answer ends with its end-of-turn token, the first control token after the assistant's text.
    What the template writes after it (ChatML's newline; the opening of a turn in templates that
    always add one) belongs to no answer.

    """
    control = control_pattern(tokenizer)
    pieces, done = [], ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = render_chat(tokenizer, messages[:index], prompt=True)
        after = render_chat(tokenizer, messages[: index + 1], prompt=False)
        if not before.startswith(done) or not after.startswith(before):
            refuse_rewriting(f"{where}: message {index}")
        end = control.search(after, len(before))
        if end is None:
            refuse_open_turn(f"{where}: message {index}")
        pieces += [(before[len(done) :], False), (after[len(before) : end.end()], True)]
        done = after[: end.end()]
    return pieces


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], max_length: int, where: str
) -> tuple[list[int], list[int], int]:
    """Return (input_ids, labels, tokens cut) of the first `max_length` tokens of a conversation."""
    pieces = split_turns(tokenizer, messages, where)
    input_ids: list[int] = []
    labels: list[int] = []
    for text, answer in pieces:
        ids = tokenizer.encode(text, add_special_tokens=False)
        input_ids += ids
        labels += ids if answer else [IGNORED] * len(ids)
    check_decodes(tokenizer, input_ids, "".join(text for text, _ in pieces), where)
    # nothing precedes the first token, so nothing predicts it
    labels[:1] = [IGNORED] * len(labels[:1])
    return input_ids[:max_length], labels[:max_length], max(0, len(input_ids) - max_length)


def encode_conversations(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[tuple[str, dict[str, Any]]], max_length: int
) -> tuple[list[Encoded], int]:
    """Encode (where, conversation) pairs; return those with labels and how many have none."""
    encoded = []
    for where, row in rows:
        input_ids, labels, cut = encode_conversation(tokenizer, row["messages"], max_length, where)
        encoded.append(Encoded(id=row["id"], input_ids=input_ids, labels=labels, cut_tokens=cut))
    kept = [item for item in encoded if item.label_count]
    return kept, len(encoded) - len(kept)
