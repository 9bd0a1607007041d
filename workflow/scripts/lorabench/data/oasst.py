"""Choose one conversation of each OpenAssistant tree: the top-ranked path.

The rule: start at the prompt; among the living replies of the expected role take the smallest by (rank missing, rank,
created_date, message_id), rank 0 being the best; go on from there; stop at the last assistant message. Living means:
not deleted, review not failed, text not empty. Replies of prompters rarely have a rank, so there the earlier counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
REPLY_ROLE = {"system": "prompter", "prompter": "assistant", "assistant": "prompter"}


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The messages of one conversation tree."""

    id: str
    state: str | None
    split: str | None  # train, validation, or None where the source is not divided
    replies: dict[str | None, list[Message]]  # parent's message_id -> replies in source order; None -> the prompt


def group_trees(messages: Iterable[Message]) -> list[Tree]:
    """Return the trees of flat messages, in the order of their first message."""
    replies: dict[str, dict[str | None, list[Message]]] = {}
    first: dict[str, Message] = {}
    for message in messages:
        tree = message["message_tree_id"]
        first.setdefault(tree, message)
        replies.setdefault(tree, defaultdict(list))[message["parent_id"]].append(message)
    return [
        Tree(id=name, state=message["tree_state"], split=message["split"], replies=dict(replies[name]))
        for name, message in first.items()
    ]


def top_ranked_path(tree: Tree, *, exclude_synthetic: bool) -> list[Message]:
    """Return the chosen messages from the prompt to the last assistant message; empty when there is none.

    Args:
        exclude_synthetic: treat messages that a model wrote as dead.
    """
    path: list[Message] = []
    parent: str | None = None
    roles: tuple[str, ...] = ("system", "prompter")
    while True:
        candidates = [
            reply
            for reply in tree.replies.get(parent, [])
            if reply["role"] in roles and _is_living(reply) and not (exclude_synthetic and reply["synthetic"])
        ]
        if not candidates:
            break
        path.append(min(candidates, key=_preference))
        parent, roles = path[-1]["message_id"], (REPLY_ROLE[path[-1]["role"]],)
    while path and path[-1]["role"] != "assistant":
        path.pop()
    return path


def _is_living(message: Message) -> bool:
    return not message["deleted"] and message["review_result"] is not False and bool(message["text"].strip())


def _preference(message: Message) -> tuple[bool, int, str, str]:
    rank = message["rank"]
    return (rank is None, rank or 0, message["created_date"] or "", message["message_id"])
