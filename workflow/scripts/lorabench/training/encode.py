"""Turn conversations into token ids and labels, with loss on what the assistant says and on its end
of turn only.

The tokenizer's own chat template is rendered up to each assistant turn and after it; the text
between the two renderings is the assistant's. So every template whose rendering grows by appending
works, with or without generation markers, and the pieces are tokenised at the same boundary as at
inference, where the model continues a rendered prompt.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from lorabench.documents.conversation import Message
from lorabench.errors import DataError

# label of tokens without loss, as in torch.nn.functional.cross_entropy
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One conversation as tokens. `labels` is `input_ids` where the loss counts, else IGNORED; the
    first is IGNORED."""

    id: str
    input_ids: list[int]
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


def special_token_pattern(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Return a pattern that finds any of the tokenizer's control tokens in text."""
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")


def render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], prompt: bool) -> str:
    """Render messages as text; `prompt` asks for the opening of an assistant turn at the end."""
    conversation: Any = messages
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=prompt)
    return str(text)


def split_turns(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    control: re.Pattern[str],
    where: str,
) -> list[tuple[str, bool]]:
    """Split the rendered conversation, up to its last answer, into pieces of text, each with
    whether it is an answer.

    An answer ends with its end-of-turn token, the first control token after the assistant's text.
    What the template writes after it (ChatML's newline; the opening of a turn in templates that
    always add one) belongs to no answer.

    Raises:
        DataError: an earlier rendering is not the beginning of a later one, so that turns cannot be
            told apart, or a
            turn
            has no end-of-turn token.
    """
    pieces, done = [], ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = (
            render(tokenizer, messages[:index], True),
            render(tokenizer, messages[: index + 1], False),
        )
        if not before.startswith(done) or not after.startswith(before):
            raise DataError(
                f"{where}: message {index}: the tokenizer's chat template rewrites earlier turns,"
                " so the assistant's text cannot be found in it; expected a template that only"
                " appends (Llama 3, ChatML)"
            )
        end = control.search(after, len(before))
        if end is None:
            raise DataError(
                f"{where}: message {index}: the chat template closes no assistant turn with a"
                " control token"
            )
        pieces += [(before[len(done) :], False), (after[len(before) : end.end()], True)]
        done = after[: end.end()]
    return pieces


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    max_length: int,
    control: re.Pattern[str],
    where: str,
) -> tuple[list[int], list[int], int]:
    """Return (input_ids, labels, tokens cut) of one conversation, its beginning kept up to
    `max_length` tokens.

    Raises:
        DataError: a message holds a control token as text, the template cannot be split, or the
            tokens do not decode to
            the rendered text.
    """
    for index, message in enumerate(messages):
        if found := control.search(message["content"]):
            raise DataError(
                f"{where}: message {index} holds the control token {found.group()!r} as text;"
                " expected plain text; prepare_conversations neutralises such text"
            )
    pieces = split_turns(tokenizer, messages, control, where)
    input_ids: list[int] = []
    labels: list[int] = []
    for text, answer in pieces:
        ids = tokenizer.encode(text, add_special_tokens=False)
        input_ids += ids
        labels += ids if answer else [IGNORED] * len(ids)
    rendered = "".join(text for text, _ in pieces)
    if (
        tokenizer.decode(input_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        != rendered
    ):
        raise DataError(
            f"{where}: the tokens do not decode to the rendered conversation; the tokenizer loses"
            " text"
        )
    labels[:1] = [IGNORED] * len(
        labels[:1]
        # nothing precedes the first token, so nothing predicts it
    )
    return input_ids[:max_length], labels[:max_length], max(0, len(input_ids) - max_length)


def encode_conversations(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[tuple[str, dict[str, Any]]], max_length: int
) -> tuple[list[Encoded], int]:
    """Encode (where, conversation) pairs; return those with something to learn and the number
    dropped without labels.

    Raises:
        DataError: see `encode_conversation`.
    """
    control = special_token_pattern(tokenizer)
    kept, dropped = [], 0
    for where, row in rows:
        input_ids, labels, cut = encode_conversation(
            tokenizer, row["messages"], max_length, control, where
        )
        encoded = Encoded(id=row["id"], input_ids=input_ids, labels=labels, cut_tokens=cut)
        if encoded.label_count:
            kept.append(encoded)
        else:
            dropped += 1
    return kept, dropped
