"""Preparation: the written rule for paths, filters that count, a split by hash, and clean text."""

import unicodedata
from dataclasses import replace
from typing import Any

import pytest

from lorabench.data.control_text import clean_text
from lorabench.data.oasst import group_trees, top_ranked_path
from lorabench.data.preparation import PreparationSettings, prepare, split_by_hash, summarise
from lorabench.errors import ConfigurationError, DataError

SETTINGS = PreparationSettings(
    languages=[],
    exclude_synthetic=False,
    min_quality=None,
    max_toxicity=None,
    max_characters=None,
    max_turns=None,
    max_conversations=None,
    validation_share=0.5,
)


def message(identity: str, parent: str | None, role: str, **changes: Any) -> dict[str, Any]:
    """Return a flat message of tree "t"."""
    values = {
        "message_id": identity,
        "parent_id": parent,
        "message_tree_id": "t",
        "tree_state": "ready_for_export",
        "text": identity,
        "role": role,
        "lang": "en",
        "review_result": True,
        "deleted": False,
        "rank": None,
        "synthetic": False,
        "created_date": "2023-01-01",
        "labels": {},
        "split": "train",
    }
    return values | changes


def conversation(tree: str, split: str | None = "train", **changes: Any) -> list[dict[str, Any]]:
    """Return a prompt and its answer as a tree of its own; changes apply to the answer."""
    shared = {"message_tree_id": tree, "split": split}
    return [
        message(f"{tree}/0", None, "prompter", **shared),
        message(f"{tree}/1", f"{tree}/0", "assistant", **shared | changes),
    ]


def path_of(*messages: dict[str, Any], exclude_synthetic: bool = False) -> list[str]:
    """Return the ids of the path chosen in a tree of these messages."""
    [tree] = group_trees(messages)
    return [chosen["message_id"] for chosen in top_ranked_path(tree, exclude_synthetic=exclude_synthetic)]


PROMPT = message("p", None, "prompter")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"rank": 1}, {"rank": 0}),
        ({"rank": None}, {"rank": 5}),
        ({"created_date": "2023-01-02"}, {"created_date": "2023-01-01"}),
        ({"deleted": True, "rank": 0}, {"rank": 1}),
        ({"review_result": False, "rank": 0}, {"rank": 1}),
        ({"text": " \n", "rank": 0}, {"rank": 1}),
    ],
)
def test_second_reply_is_preferred(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Rank decides, then date; the dead are passed over, whatever their rank and place in the file."""
    replies = [message("x", "p", "assistant", **first), message("y", "p", "assistant", **second)]
    assert path_of(PROMPT, *replies) == ["p", "y"]
    assert path_of(PROMPT, *reversed(replies)) == ["p", "y"]


def test_smaller_id_decides_a_full_tie() -> None:
    """Equal replies are told apart by their id, so that file order never matters."""
    replies = [message("y", "p", "assistant"), message("x", "p", "assistant")]
    assert path_of(PROMPT, *replies) == ["p", "x"]


def test_path_ends_with_the_last_answer() -> None:
    """An unanswered follow-up is left out; an unanswered prompt gives no path."""
    answer, follow_up = message("a", "p", "assistant"), message("q", "a", "prompter")
    assert path_of(PROMPT, answer, follow_up) == ["p", "a"]
    assert path_of(PROMPT) == []


def test_path_does_not_go_around_a_dead_message() -> None:
    """Replies below a deleted message are out of reach, and roles alternate."""
    dead = message("a", "p", "assistant", deleted=True)
    below = [message("q", "a", "prompter"), message("b", "q", "assistant")]
    assert path_of(PROMPT, dead, *below) == []
    assert path_of(PROMPT, message("q", "p", "prompter")) == []


def test_synthetic_messages_are_left_out_on_request() -> None:
    """Machine-written replies count like others unless the config says otherwise."""
    machine = message("a", "p", "assistant", rank=0, synthetic=True)
    human = message("b", "p", "assistant", rank=1)
    assert path_of(PROMPT, machine, human) == ["p", "a"]
    assert path_of(PROMPT, machine, human, exclude_synthetic=True) == ["p", "b"]


@pytest.mark.parametrize(
    ("changes", "settings", "reason"),
    [
        ({"deleted": True}, {}, "no_answered_prompt"),
        ({"tree_state": "ready_for_export"}, {"languages": ["de"]}, "language"),
        ({"labels": {"quality": 0.2}}, {"min_quality": 0.5}, "min_quality"),
        ({"labels": {"toxicity": 0.9}}, {"max_toxicity": 0.5}, "max_toxicity"),
        ({"text": "x" * 100}, {"max_characters": 50}, "max_characters"),
        ({}, {"max_turns": 0}, "max_turns"),
        ({}, {"max_conversations": 1}, "max_conversations"),
    ],
)
def test_each_filter_drops_and_counts(changes: dict[str, Any], settings: dict[str, Any], reason: str) -> None:
    """A dropped tree has its reason in the audit and in the counts; the kept one has none."""
    good = conversation("good")
    if reason == "language":
        good[0]["lang"] = "de"
    elif reason == "max_turns":
        pytest.raises(ConfigurationError, prepare, conversation("x"), replace(SETTINGS, **settings))
        return
    prepared = prepare(
        [*good, *conversation("bad", **changes), *conversation("held out", "validation", lang="de")],
        replace(SETTINGS, **settings | ({"languages": ["de", "en"]} if reason == "none" else {})),
    ) if reason != "language" else prepare(
        [*good, *conversation("bad"), *german_validation()], replace(SETTINGS, **settings)
    )
    assert [(row.id, row.reason) for row in prepared.audit[:2]] == [("good", None), ("bad", reason)]
    assert summarise(prepared)["splits"]["train"]["dropped"] == {reason: 1}
