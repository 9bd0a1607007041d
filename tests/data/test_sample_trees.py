"""The sample trees: schema, ranks, languages, and every case of the selection rule."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from lorabench.data.conversations.oasst import group_trees, top_ranked_path
from lorabench.data.conversations.reading import read_messages
from lorabench.files import read_jsonl

DROPPED_TREES = {"drop-aborted", "drop-waiting", "drop-deleted", "drop-review"}


def trees_in(samples: Path) -> list[dict[str, Any]]:
    """The conversation trees of the samples."""
    return [tree for _, tree in read_jsonl(samples / "oasst_trees.jsonl")]


def replies_below(message: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every (parent, reply) pair below a message."""
    for reply in message["replies"]:
        yield message, reply
        yield from replies_below(reply)


def kept_paths(samples: Path) -> dict[str, list[dict[str, Any]]]:
    """The conversations that the project's rule takes from the trees, by the tree's id."""
    trees = group_trees(read_messages(samples / "oasst_trees.jsonl"))
    return {
        tree.id: path
        for tree in trees
        if tree.state == "ready_for_export"
        and (path := top_ranked_path(tree, exclude_synthetic=False))
    }


def test_trees_have_the_export_schema_and_unique_ids(samples: Path) -> None:
    """Every message has the schema's fields, an id, its parent's id, and no user id."""
    required = {
        *("message_id", "text", "role", "lang", "review_count"),
        *("review_result", "deleted", "synthetic", "replies"),
    }
    ids = []
    for tree in trees_in(samples):
        assert set(tree) == {"message_tree_id", "tree_state", "prompt"}
        assert tree["prompt"]["message_id"] == tree["message_tree_id"]
        assert "parent_id" not in tree["prompt"]
        pairs = list(replies_below(tree["prompt"]))
        assert all(reply["parent_id"] == parent["message_id"] for parent, reply in pairs)
        for message in [tree["prompt"], *(reply for _, reply in pairs)]:
            assert required <= set(message)
            assert "user_id" not in message
            assert message["text"].strip() and "<|" not in message["text"]
            assert datetime.fromisoformat(message["created_date"]).tzinfo
            ids.append(message["message_id"])
    assert len(ids) == len(set(ids))


def test_roles_alternate_and_ranks_count_from_zero(samples: Path) -> None:
    """Roles take turns; ranks of living replies have no gap and no double."""
    for tree in trees_in(samples):
        assert tree["prompt"]["role"] == "prompter"
        for parent, reply in replies_below(tree["prompt"]):
            assert {parent["role"], reply["role"]} == {"prompter", "assistant"}
            assert parent["lang"] == reply["lang"]
            ranks = [each.get("rank") for each in parent["replies"]]
            ranked = sorted(rank for rank in ranks if rank is not None)
            assert ranked == list(range(len(ranked)))


def test_trees_hold_every_case_of_the_selection_rule(samples: Path) -> None:
    """Deleted, unranked, failed and synthetic replies are all there."""
    kept = kept_paths(samples)
    trees = [tree for tree in trees_in(samples) if tree["message_tree_id"] in kept]
    pairs = [pair for tree in trees for pair in replies_below(tree["prompt"])]
    replies = [reply for _, reply in pairs if reply["role"] == "assistant"]
    assert sum(reply["deleted"] for reply in replies) >= 5
    assert sum(reply.get("rank") is None for reply in replies) >= 8
    assert any(not reply["review_result"] for reply in replies)
    assert any(reply["synthetic"] for reply in replies)
    assert any(reply["deleted"] and reply.get("rank") == 0 for reply in replies)
    assert any(len(parent["replies"]) == 1 and reply.get("rank") is None for parent, reply in pairs)
    assert any(reply["role"] == "prompter" and not reply["replies"] for _, reply in pairs)
    assert any(reply["role"] == "prompter" and reply["deleted"] for _, reply in pairs)
    assert any(parent["replies"][0].get("rank") not in {0, None} for parent, _ in pairs)


def test_sixty_two_trees_give_conversations_and_four_are_dropped(samples: Path) -> None:
    """The others give one to three turns in eight languages, mostly English."""
    kept = kept_paths(samples)
    assert {tree["message_tree_id"] for tree in trees_in(samples)} - set(kept) == DROPPED_TREES
    assert len(kept) == 62
    assert {len(path) // 2 for path in kept.values()} == {1, 2, 3}
    languages = Counter(path[0]["lang"] for path in kept.values())
    assert set(languages) == {"en", "de", "es", "fr", "it", "pt-BR", "nl", "sv"}
    assert 0.6 < languages["en"] / len(kept) < 0.8
