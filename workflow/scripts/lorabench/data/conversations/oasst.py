"""Choose one conversation of each OpenAssistant tree: the top-ranked path.

The rule: start at the prompt; among the living replies of the expected role take the smallest by
(rank missing, rank, created_date, message_id), rank 0 being the best; go on from there; stop at the
last assistant message. Living means: not deleted, review not failed, text not empty. Replies of
prompters rarely have a rank, so there the earlier counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lorabench.errors import DataError

Message = dict[str, Any]
REPLY_ROLE = {"system": "prompter", "prompter": "assistant", "assistant": "prompter"}


@dataclass(frozen=True)
class Tree:
    """The messages of one conversation tree."""

    id: str
    state: str | None
    # train, validation, or None where the source is not divided
    split: str | None
    # parent's message_id -> replies in source order; None -> the prompt
    replies: dict[str | None, list[Message]]


def group_trees(messages: Iterable[Message]) -> list[Tree]:
    """Return the trees of flat messages, in the order of their first message.

    Raises:
        DataError: the messages do not form a tree: no prompt or several, a parent that is missing,
            or parents in a circle.
    """
    replies: dict[str, dict[str | None, list[Message]]] = {}
    first: dict[str, Message] = {}
    for message in messages:
        tree = message["message_tree_id"]
        first.setdefault(tree, message)
        replies.setdefault(tree, defaultdict(list))[message["parent_id"]].append(message)
    for name, branches in replies.items():
        _check_tree(name, branches)
    return [
        Tree(name, message["tree_state"], message["split"], dict(replies[name]))
        for name, message in first.items()
    ]


def _check_tree(tree: str, replies: dict[str | None, list[Message]]) -> None:
    """Check that every message is reached from one prompt."""
    here = f"conversation tree {tree!r}"
    prompts = [message["message_id"] for message in replies.get(None, [])]
    if len(prompts) > 1:
        raise DataError(
            f"{here}: messages {prompts[0]!r} and {prompts[1]!r} have no parent_id; only its prompt"
            " may be without one"
        )
    reached = set(prompts)
    waiting = prompts
    while waiting:
        children = [message["message_id"] for message in replies.get(waiting.pop(), [])]
        reached.update(children)
        waiting += children
    everything = {
        message["message_id"]: message["parent_id"]
        for branch in replies.values()
        for message in branch
    }
    for identity, parent in everything.items():
        if parent is not None and parent not in everything:
            raise DataError(
                f"{here}: message {identity!r} answers {parent!r}, which is not in the tree; add or"
                " drop one"
            )
    if lost := sorted(everything.keys() - reached):
        raise DataError(
            f"{here}: the parents of message {lost[0]!r} form a circle; correct their parent_id"
        )


def top_ranked_path(tree: Tree, *, exclude_synthetic: bool) -> list[Message]:
    """Return the chosen messages from the prompt to the last answer; [] without an answer.

    Args:
        exclude_synthetic: treat messages that a model wrote as dead.
    """
    path: list[Message] = []
    parent: str | None = None
    roles: tuple[str, ...] = ("system", "prompter")
    while candidates := [
        reply
        for reply in tree.replies.get(parent, [])
        if reply["role"] in roles
        and _is_living(reply)
        and not (exclude_synthetic and reply["synthetic"])
    ]:
        path.append(min(candidates, key=_preference))
        parent, roles = path[-1]["message_id"], (REPLY_ROLE[path[-1]["role"]],)
    while path and path[-1]["role"] != "assistant":
        path.pop()
    return path


def _is_living(message: Message) -> bool:
    return (
        not message["deleted"]
        and message["review_result"] is not False
        and bool(message["text"].strip())
    )


def _preference(message: Message) -> tuple[bool, int, str, str]:
    rank = message["rank"]
    return (rank is None, rank or 0, message["created_date"] or "", message["message_id"])
