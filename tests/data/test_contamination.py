"""Contamination: shared runs of words are found; short items cannot be compared."""

from typing import Any

from lorabench.data.benchmark import benchmark_data
from lorabench.data.contamination import Item, benchmark_items, overlap, word_ngrams

EIGHT = "one two three four five six seven eight"


def test_ngrams_ignore_case_and_punctuation() -> None:
    """Words are letters and digits in lower case."""
    assert list(word_ngrams("It's 3.14, THE  end—really", 6)) == [
        "it s 3 14 the end",
        "s 3 14 the end really",
    ]
    assert list(word_ngrams("\ufb01ne \uff37ide", 2)) == ["fine wide"]


def test_shared_run_is_found_in_every_conversation_that_has_it() -> None:
    """The overlap names the conversations, how much of the item is shared, and an example."""
    conversations = [
        ("b", ["x", f"said: {EIGHT.upper()}!"]),
        ("a", [EIGHT + " nine"]),
        ("c", ["nothing of it"]),
    ]
    found = overlap(conversations, [Item(id="i", texts=[EIGHT + " nine ten"])], 8)
    assert found["comparable"] == 1
    [item] = found["overlapping"]
    assert item == {
        "id": "i",
        "ngrams": 3,
        "shared": 2,
        "conversations": ["a", "b"],
        "example": EIGHT,
    }


def test_runs_do_not_cross_messages_or_texts_of_an_item() -> None:
    """Seven words and one more in another message or text are no run of eight."""
    head, tail = EIGHT.rsplit(" ", 1)
    assert not overlap([("a", [head, tail])], [Item(id="i", texts=[EIGHT])], 8)["overlapping"]
    assert not overlap([("a", [EIGHT])], [Item(id="i", texts=[head, tail])], 8)["overlapping"]


def test_short_items_are_not_comparable() -> None:
    """An item of fewer words than n counts neither as clean nor as overlapping."""
    found = overlap(
        [("a", [EIGHT])], [Item(id="short", texts=["one two"]), Item(id="long", texts=[EIGHT])], 8
    )
    assert (found["comparable"], [item["id"] for item in found["overlapping"]]) == (1, ["long"])


def items_of(benchmark: str, row: dict[str, Any]) -> list[Item]:
    """Return the items of one row of a benchmark."""
    return benchmark_items([row], benchmark_data(benchmark).item_texts)


def test_items_hold_what_a_model_could_have_learned() -> None:
    """Questions with their answers or choices; MT-Bench both turns."""
    assert items_of("gsm8k", {"id": "g", "question": "q", "answer": "a"}) == [
        Item(id="g", texts=["q", "a"])
    ]
    mmlu = {
        "id": "m",
        "subject": "s",
        "question": "q",
        "choices": ["1", "2", "3", "4"],
        "answer": 0,
    }
    assert items_of("mmlu", mmlu) == [Item(id="m", texts=["q", "1", "2", "3", "4"])]
    assert items_of("mt_bench", {"question_id": 81, "turns": ["x", "y"]}) == [
        Item(id="81", texts=["x", "y"])
    ]
    assert items_of("alpaca_eval", {"id": "alpaca-0", "instruction": "i"}) == [
        Item(id="alpaca-0", texts=["i"])
    ]
