"""What counts as a rating in a judge's text, and what is better asked again."""

import json
import re
from pathlib import Path

import pytest

from lorabench.judging.ratings import parse_rating


@pytest.mark.parametrize(
    ("judgment", "rating"),
    [
        ("Good. Rating: [[7]]", 7.0),
        ("Rating: [[8.5]]", 8.5),
        ("Rating: [[10]]", 10.0),
        ("Rating: [[ 6 ]]", 6.0),
        ('Rating: "[[5]]"', 5.0),
        ("[[Rating: 8]]", 8.0),
        ("Rating: [8/10]", 8.0),
        ("**Rating:** [6]", 6.0),
        ("**Rating**: 8.5", 8.5),
        ("Rating - 8", 8.0),
        ("Rating \u2013 8", 8.0),
        ("The rating would be 8 out of 10.", 8.0),
        ("overall rating of 9/10", 9.0),
        ("Final score: 6.5/10", 6.5),
        ("8 out of 10", 8.0),
        ("I would give it 9 out of 10.", 9.0),
        ("I would say [4].", 4.0),
        ("[7] is fine", 7.0),
        ("I cannot judge this.", None),
        ("Rating: eight", None),
        ("rating: \u0668", None),
        ("Rating: [[NaN]]", None),
        ("", None),
    ],
)
def test_forms_of_a_rating(judgment: str, rating: float | None) -> None:
    """FastChat's brackets first, then what else judges write."""
    assert parse_rating(judgment) == rating


@pytest.mark.parametrize(
    ("judgment", "rating"),
    [
        ("Good. Rating (1-10): 8", 8.0),
        ("Rating [1-10]: 8", 8.0),
        ("Rating (1\u201310): 8", 8.0),
        ("Rating (out of 10): 8", 8.0),
        ("Rating from 1 to 10: 3", 3.0),
        ("Rating: 3 (on a scale from 1 to 10)", 3.0),
        ("On a scale of 1 to 10, I rate this answer 7.", 7.0),
        ("My rating on a scale of [[1]] to [[10]]: [[8]]", 8.0),
        ("Rating: 1 = poor, 10 = excellent: 7", None),
        ("[[1-10]]", None),
        ("Rating: [[1-10]]", None),
        ("Rating: 1-10", None),
        ("[[8/10]]", 8.0),
        ("[[8]] out of 10", 8.0),
        ("Rating: 10/10", 10.0),
        ("Rating: [[4/5]]", None),
        ("[[4]] out of 5", None),
        ("Rating: 4/5", None),
        ("Rating (1-5): 4", None),
        ("Rating on a 1-5 scale: 4", None),
        ("Rating (1-100): 80", None),
        ("Rating: 80/100", None),
        ("Rating: 80%", None),
    ],
)
def test_a_scale_is_no_rating(judgment: str, rating: float | None) -> None:
    """The scale of 1 to 10 is passed over; a rating on another scale is none here."""
    assert parse_rating(judgment) == rating


@pytest.mark.parametrize(
    "judgment",
    [
        *("Rating: [[0]]", "Rating: [[0.5]]", "Rating: [[10.5]]", "Rating: [[11]]"),
        *("Rating: 11", "Rating: 100", "Rating: -5", "Rating: 1e1", "Rating: 8th"),
        *("Rating: 7-8", "Rating: 7 to 8", "Rating: 8,5", "Rating: [[8]]-[[9]]"),
        "Rating: [[7]]\n\nRating: [[9]]",
        "The score in [[3]] and [[4]] of the code",
    ],
)
def test_out_of_range_or_more_than_one_is_none(judgment: str) -> None:
    """Neither is guessed at."""
    assert parse_rating(judgment) is None


@pytest.mark.parametrize(
    ("judgment", "rating"),
    [
        ("The code returns a[[0]] and grid[[3]]. Rating: [[6]]", 6.0),
        ("In array [1] the index is off. Rating: 6", 6.0),
        ("Rating: 8 out of 10. Array [1]", 8.0),
        ("Rating: [[7]] ... so Rating: [[7]]", 7.0),
        ("see footnote [1] for details, a fine answer", None),
        ("9 out of 10 dentists agree.", None),
    ],
)
def test_other_numbers_are_passed_over(judgment: str, rating: float | None) -> None:
    """Code, footnotes and shares in a judgment are not the rating."""
    assert parse_rating(judgment) == rating


def test_equals_fastchat_on_real_judgments(shared_data: Path) -> None:
    """Of 330 real judgments every one that FastChat's first pattern reads is read alike."""
    path = shared_data / "mt_bench" / "judgments_gpt-4_single.jsonl"
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    pattern = re.compile(r"\[\[(\d+\.?\d*)\]\]")
    read = [row for row in rows if pattern.search(row["judgment"])]
    assert len(read) > 150
    assert [parse_rating(row["judgment"]) for row in read] == [row["score"] for row in read]


def test_long_texts_are_read_in_no_time() -> None:
    """No pattern goes over a text again and again (this would take minutes)."""
    for piece in (" ", "[[", "rating ", "1 to ", "(", "9/"):
        assert parse_rating(piece * 20_000) is None
