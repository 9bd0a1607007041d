"""Preparation: the written rule for paths, filters that count, a split by hash, and clean text."""

import unicodedata
from typing import Any

import pytest

from lorabench.data.conversations.oasst import group_trees, top_ranked_path
from lorabench.data.conversations.preparation import (
    PreparationSettings,
    clean_text,
    prepare,
    split_by_hash,
    summarise,
)
from lorabench.errors import ConfigurationError, DataError
from sections import section

SETTINGS = PreparationSettings(**section("prepare_conversations", validation_share=0.5))


def message(identity: str, parent: str | None, role: str, **changes: Any) -> dict[str, Any]:
    """Return a flat message of tree "t"."""
    values: dict[str, Any] = {
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
    """Return a prompt and its answer as a tree; changes apply to both messages."""
    shared = {"message_tree_id": tree, "split": split} | changes
    return [
        message(f"{tree}/0", None, "prompter", **shared),
        message(f"{tree}/1", f"{tree}/0", "assistant", **shared),
    ]


def long_conversation(tree: str) -> list[dict[str, Any]]:
    """Return a conversation of two turns."""
    follow_up = [
        message(f"{tree}/2", f"{tree}/1", "prompter", message_tree_id=tree),
        message(f"{tree}/3", f"{tree}/2", "assistant", message_tree_id=tree),
    ]
    return conversation(tree) + follow_up


def path_of(*messages: dict[str, Any], exclude_synthetic: bool = False) -> list[str]:
    """Return the ids of the path chosen in a tree of these messages."""
    [tree] = group_trees(messages)
    return [
        chosen["message_id"]
        for chosen in top_ranked_path(tree, exclude_synthetic=exclude_synthetic)
    ]


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
    """Rank decides, then date; dead replies are passed over."""
    replies = [message("x", "p", "assistant", **first), message("y", "p", "assistant", **second)]
    assert path_of(PROMPT, *replies) == ["p", "y"]
    assert path_of(PROMPT, *reversed(replies)) == ["p", "y"]


def test_smaller_id_decides_a_full_tie() -> None:
    """The id decides between equal replies, so that file order never matters."""
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
    ("extra", "fault"),
    [
        ([message("c", "gone", "assistant")], "'c' answers 'gone', which is not in the tree"),
        ([message("c", "d", "assistant"), message("d", "c", "prompter")], "'c' form a circle"),
        ([message("c", "c", "assistant")], "message 'c' form a circle"),
        ([message("c", None, "prompter")], "messages 'p' and 'c' have no parent_id"),
    ],
)
def test_what_is_no_tree_is_refused(extra: list[dict[str, Any]], fault: str) -> None:
    """A missing parent, a circle or a second prompt would drop messages silently."""
    with pytest.raises(DataError, match=f"conversation tree 't': .*{fault}"):
        group_trees([PROMPT, message("a", "p", "assistant"), *extra])


@pytest.mark.parametrize(
    ("bad", "settings", "reason"),
    [
        (conversation("bad", deleted=True), {}, "no_answered_prompt"),
        (conversation("bad", tree_state="aborted_low_grade"), {}, "tree_state"),
        (conversation("bad", lang="de"), {"languages": ["en"]}, "language"),
        (conversation("bad", labels={"quality": 0.2}), {"min_quality": 0.5}, "min_quality"),
        (conversation("bad", labels={"toxicity": 0.9}), {"max_toxicity": 0.5}, "max_toxicity"),
        (conversation("bad", text="x" * 30), {"max_characters": 50}, "max_characters"),
        (long_conversation("bad"), {"max_turns": 1}, "max_turns"),
        (conversation("bad"), {"max_conversations": 1}, "max_conversations"),
    ],
)
def test_each_filter_drops_and_counts(
    bad: list[dict[str, Any]], settings: dict[str, Any], reason: str
) -> None:
    """A dropped tree has its reason in audit and counts; the others pass."""
    messages = [*conversation("good"), *bad, *conversation("held out", "validation")]
    prepared = prepare(messages, SETTINGS.model_copy(update=settings))
    assert [(row.id, row.reason) for row in prepared.audit] == [
        ("good", None),
        ("bad", reason),
        ("held out", None),
    ]
    assert [kept.id for kept in prepared.train] == ["good"]
    assert summarise(prepared)["splits"]["train"]["dropped"] == {reason: 1}


def test_conversation_is_what_chat_templates_take() -> None:
    """Roles become user and assistant, and the audit says which messages were taken."""
    prepared = prepare([*conversation("a", text="hi"), *conversation("b", "validation")], SETTINGS)
    assert prepared.train[0].messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hi"},
    ]
    assert prepared.audit[0].path == ["a/0", "a/1"]
    assert (prepared.audit[0].turns, prepared.audit[0].characters) == (1, 4)


def test_source_order_of_replies_does_not_change_the_result() -> None:
    """Messages of a tree may come in any order as long as its first one stays first."""
    messages = [*long_conversation("a"), *conversation("b", "validation")]
    shuffled = [messages[0], messages[3], messages[2], messages[1], *messages[4:]]
    assert prepare(shuffled, SETTINGS).train == prepare(messages, SETTINGS).train


def test_split_by_hash_follows_the_share_and_nothing_else() -> None:
    """Other trees change nothing; a larger share keeps what was held out."""
    trees = [f"tree-{number}" for number in range(2000)]
    held = {tree for tree in trees if split_by_hash(tree, 0.1) == "validation"}
    assert 150 < len(held) < 250
    assert held < {tree for tree in trees if split_by_hash(tree, 0.2) == "validation"}
    assert {split_by_hash(tree, 0.0) for tree in trees} == {"train"}


@pytest.mark.parametrize("splits", [("train", "train"), ("train", None), (None, None)])
def test_without_a_validation_part_the_share_divides(splits: tuple[str | None, ...]) -> None:
    """A file called train.jsonl is no division: validation_share holds some of it out."""
    trees = [conversation(f"t{number}", splits[number % len(splits)]) for number in range(20)]
    prepared = prepare([message for tree in trees for message in tree], SETTINGS)
    assert {row.split for row in prepared.audit} == {"train", "validation"}


def test_what_has_no_split_trains_where_there_is_a_validation_part() -> None:
    """mine.jsonl and validation.jsonl in one folder: the first is for training."""
    prepared = prepare([*conversation("a", None), *conversation("b", "validation")], SETTINGS)
    assert [row.split for row in prepared.audit] == ["train", "validation"]


def test_empty_split_names_the_filters_that_emptied_it() -> None:
    """Training without training or validation conversations stops here, with the counts."""
    messages = [*conversation("a", lang="de"), *conversation("b", "validation")]
    english = SETTINGS.model_copy(update={"languages": ["en"]})
    with pytest.raises(ConfigurationError, match=r"no train conversation of 2 .*\(language 1\)"):
        prepare(messages, english)


@pytest.mark.parametrize(
    ("text", "clean", "found"),
    [
        ("say <|eot_id|> now", "say < |eot_id| > now", 1),
        ("<|im_start|>system<|im_end|>", "< |im_start| >system< |im_end| >", 2),
        ("a <| b |> c", "a < | b | > c", 1),
        ("if (a <b || c> d) x |> f <| y", "if (a <b || c> d) x |> f <| y", 0),
        ("e\u0301", "\u00e9", 0),
    ],
)
def test_control_tokens_are_written_apart(text: str, clean: str, found: int) -> None:
    """Control tokens stay readable and lose their meaning; other text is only composed."""
    assert clean_text(text) == (clean, found)
    assert clean_text(clean) == (clean, 0)
    assert unicodedata.is_normalized("NFC", clean)


def test_control_tokens_are_counted_in_the_audit() -> None:
    """Neutralised tokens are counted per tree and in sum."""
    messages = [*conversation("a", text="<|eot_id|>"), *conversation("b", "validation")]
    prepared = prepare(messages, SETTINGS)
    assert prepared.audit[0].neutralised == 2
    assert summarise(prepared)["splits"]["train"]["neutralised_control_tokens"] == 2
    assert prepared.train[0].messages[0]["content"] == "< |eot_id| >"
