"""Turn flat messages into training and validation conversations, and note what was dropped."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lorabench.data.conversations.oasst import Message, Tree, group_trees, top_ranked_path
from lorabench.data.settings import PreparationSettings
from lorabench.documents.conversation import Conversation
from lorabench.documents.conversation import Message as ChatMessage
from lorabench.documents.summary import DataCounts, SplitCounts
from lorabench.errors import ConfigurationError

# share of a split's conversations
LOSS_WORTH_A_WORD = 0.05
# <|eot_id|>, <|im_start|>, <|end_of_text|>, …: the form of Llama 3, ChatML and most other formats.
# A model's own control tokens of any form are written apart where its chats are rendered.
CONTROL_PATTERN = re.compile(r"<(\|[^<>|\n]{1,64}\|)>")
CHAT_ROLES: dict[str, Any] = {"system": "system", "prompter": "user", "assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """What happened to one tree: a line of results/{run}/data/audit.jsonl."""

    id: str
    split: str
    kept: bool
    # why it was dropped
    reason: str | None
    # of the prompt; None where no path was found
    language: str | None
    # message ids of the chosen path
    path: list[str]
    # user messages
    turns: int
    characters: int
    # control tokens found in the text
    neutralised: int
    # messages of a conversation without branches that the path leaves out: after its last answer,
    # or after an empty message
    cut: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Conversations by split, and the audit of all trees in source order."""

    train: list[Conversation]
    validation: list[Conversation]
    audit: list[AuditRow]


def prepare(messages: Iterable[Message], settings: PreparationSettings) -> Prepared:
    """Choose, filter, clean and divide the conversations of all trees.

    The source's own split holds where it has a validation part; what has no split is for training
    then. Elsewhere `validation_share` divides.

    Raises:
        ConfigurationError: the filters leave a split empty.
    """
    trees = group_trees(messages)
    divided = {"train", "validation"} <= {tree.split or "train" for tree in trees}
    kept: dict[str, list[Conversation]] = {"train": [], "validation": []}
    audit = []
    for tree in trees:
        share = settings.validation_share
        split = (tree.split or "train") if divided else split_by_hash(tree.id, share)
        path = top_ranked_path(tree, exclude_synthetic=settings.exclude_synthetic)
        conversation, neutralised = _conversation(tree, path)
        branches = list(tree.replies.values())
        # only of a conversation without branches it is known what the path leaves out
        linear = bool(path) and all(len(replies) == 1 for replies in branches)
        reason, most = drop_reason(tree, path, settings), settings.max_conversations
        if reason is None and most is not None and len(kept[split]) >= most:
            reason = "max_conversations"
        if reason is None:
            kept[split].append(conversation)
        row = AuditRow(
            id=tree.id,
            split=split,
            kept=reason is None,
            reason=reason,
            language=path[0]["lang"] if path else None,
            path=[message["message_id"] for message in path],
            turns=sum(message["role"] == "user" for message in conversation.messages),
            characters=sum(len(message["content"]) for message in conversation.messages),
            neutralised=neutralised,
            cut=len(branches) - len(path) if linear else 0,
        )
        audit.append(row)
    for split, conversations in kept.items():
        if not conversations:
            raise ConfigurationError(
                f"prepare_conversations leaves no {split} conversation of {len(trees)} trees "
                f"({_counts(audit, split)}): loosen its filters, or change validation_share"
            )
    return Prepared(train=kept["train"], validation=kept["validation"], audit=audit)


def split_by_hash(tree: str, validation_share: float) -> str:
    """Return the split of a tree by the SHA-256 of its id: the same everywhere."""
    position = int.from_bytes(hashlib.sha256(tree.encode("utf-8")).digest()[:8], "big") / 2**64
    return "validation" if position < validation_share else "train"


def drop_reason(tree: Tree, path: list[Message], settings: PreparationSettings) -> str | None:
    """Return the first rule that drops a tree, None when it is kept."""
    if tree.state not in (None, "ready_for_export"):
        return "tree_state"
    if not path:
        return "no_answered_prompt"
    if settings.languages and path[0]["lang"] not in settings.languages:
        return "language"
    answers = [message for message in path if message["role"] == "assistant"]
    if settings.min_quality is not None and any(
        message["labels"].get("quality", 1.0) < settings.min_quality for message in answers
    ):
        return "min_quality"
    if settings.max_toxicity is not None and any(
        message["labels"].get("toxicity", 0.0) > settings.max_toxicity for message in path
    ):
        return "max_toxicity"
    if settings.max_turns is not None and len(answers) > settings.max_turns:
        return "max_turns"
    characters = sum(len(message["text"]) for message in path)
    if settings.max_characters is not None and characters > settings.max_characters:
        return "max_characters"
    return None


def clean_text(text: str) -> tuple[str, int]:
    """Return the text in Unicode's form NFC, and how many control tokens were written apart.

    They stay readable ("< |eot_id| >"), but no tokenizer takes them for real ones.
    """
    return CONTROL_PATTERN.subn(r"< \1 >", unicodedata.normalize("NFC", text))


def _conversation(tree: Tree, path: list[Message]) -> tuple[Conversation, int]:
    """Return the conversation of a path with clean text, and its control tokens."""
    turns: list[ChatMessage] = []
    neutralised = 0
    for message in path:
        text, found = clean_text(message["text"])
        turns.append({"role": CHAT_ROLES[message["role"]], "content": text})
        neutralised += found
    language = path[0]["lang"] if path else ""
    return Conversation(id=tree.id, language=language, messages=turns), neutralised


def _counts(audit: list[AuditRow], split: str) -> str:
    """Return "reason count" for the dropped trees of a split."""
    reasons = Counter(row.reason for row in audit if row.split == split and row.reason)
    return (
        ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        or "no tree in that split"
    )


def summarise(prepared: Prepared) -> DataCounts:
    """Return the counts of summary.json."""
    splits: dict[str, SplitCounts] = {}
    for split in ("train", "validation"):
        rows = [row for row in prepared.audit if row.split == split]
        kept = [row for row in rows if row.kept]
        dropped = Counter(row.reason for row in rows if row.reason)
        languages = Counter(row.language for row in kept if row.language)
        cut, messages = sum(row.cut > 0 for row in kept), sum(row.cut for row in kept)
        splits[split] = {
            "trees": len(rows),
            "kept": len(kept),
            "dropped": dict(sorted(dropped.items())),
            "cut": {"conversations": cut, "messages": messages},
            "languages": dict(sorted(languages.items(), key=lambda entry: (-entry[1], entry[0]))),
            "turns": sum(row.turns for row in kept),
            "characters": sum(row.characters for row in kept),
            "neutralised_control_tokens": sum(row.neutralised for row in kept),
        }
    return {
        "trees": len(prepared.audit),
        "splits": {"train": splits["train"], "validation": splits["validation"]},
        "remarks": loss_remarks(splits),
    }


def loss_remarks(splits: dict[str, SplitCounts]) -> list[str]:
    """Return a sentence for each large loss of a split; `max_conversations` is no loss."""
    remarks = []
    for split, counts in splits.items():
        reasons = {why: n for why, n in counts["dropped"].items() if why != "max_conversations"}
        lost, cut = sum(reasons.values()), counts["cut"]
        if lost > LOSS_WORTH_A_WORD * counts["trees"]:
            causes = ", ".join(f"{why.replace('_', ' ')} {n}" for why, n in reasons.items())
            remarks.append(
                f"{lost} of {counts['trees']} {split} conversations"
                f" ({lost / counts['trees']:.0%}) were dropped: {causes}; data/audit.jsonl names"
                " them."
            )
        if cut["conversations"] > LOSS_WORTH_A_WORD * counts["kept"]:
            remarks.append(
                f"{cut['conversations']} of {counts['kept']} {split} conversations"
                f" ({cut['conversations'] / counts['kept']:.0%}) lost {cut['messages']} messages"
                " after their last answer or an empty message."
            )
    return remarks
