"""Groups share real prefixes, lose no row and save tokens; batches keep to their budget."""

import random

import pytest

from lorabench.evaluation.sharing import PASS_COST, common_length, plan_batches, plan_groups


def subject_rows(subjects: int, questions: int, shots: int) -> list[list[int]]:
    """Return rows as of a few-shot benchmark: an opening, examples, a question."""
    draw = random.Random(0)
    rows = []
    for _ in range(subjects):
        examples = [1, 2, 3, *(draw.randrange(10, 1000) for _ in range(shots))]
        rows += [
            [*examples, *(draw.randrange(10, 1000) for _ in range(draw.randrange(5, 40)))]
            for _ in range(questions)
        ]
    draw.shuffle(rows)
    return rows


def test_every_subject_becomes_a_group_on_its_whole_prefix() -> None:
    """Questions share 300 tokens of examples, without any knowledge of subjects."""
    rows = subject_rows(subjects=4, questions=9, shots=300)
    groups = plan_groups(rows, [len(row) - 1 for row in rows])
    assert sorted(group.prefix_length for group in groups) == [303] * 4
    assert sorted(index for group in groups for index in group.members) == list(range(len(rows)))
    for group in groups:
        assert len({tuple(rows[index][: group.prefix_length]) for index in group.members}) == 1


def test_a_short_common_opening_is_not_worth_a_pass() -> None:
    """Rows that have three tokens in common are computed whole, in one group."""
    rows = [[1, 2, 3, 100 + number, 7] for number in range(5)]
    groups = plan_groups(rows, [4] * 5)
    assert [(group.prefix_length, len(group.members)) for group in groups] == [(0, 5)]


def test_a_prefix_leaves_what_is_scored() -> None:
    """Equal rows and rows that are a prefix of another share at most what their limits allow."""
    row = list(range(500))
    groups = plan_groups([row, row, row[:400]], [490, 499, 399])
    assert all(group.prefix_length <= 399 for group in groups if 2 in group.members)
    assert sorted(index for group in groups for index in group.members) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_grouping_never_costs_tokens(seed: int) -> None:
    """Prefixes and suffixes together are at most the tokens of all rows, whatever the rows are."""
    draw = random.Random(seed)
    rows = [[draw.randrange(2) for _ in range(draw.randrange(1, 300))] for _ in range(60)]
    groups = plan_groups(rows, [len(row) - 1 for row in rows])
    shared = [group for group in groups if group.prefix_length]
    tokens = sum(
        len(rows[index]) - group.prefix_length for group in groups for index in group.members
    )
    assert tokens + sum(group.prefix_length + PASS_COST for group in shared) <= sum(map(len, rows))


def test_long_chains_of_prefixes_are_grouped_too() -> None:
    """A thousand rows that each begin with the one before are neither lost nor too deep to plan."""
    rows = [[1] * length for length in range(1, 1500)]
    groups = plan_groups(rows, [len(row) - 1 for row in rows])
    assert sorted(index for group in groups for index in group.members) == list(range(len(rows)))


def test_batches_keep_to_the_budget_and_hold_every_member() -> None:
    """Tokens stay within the budget, pads within as many; a longer row is separate."""
    lengths = [5, 90, 20, 20, 300, 7, 8]
    batches = list(plan_batches(lengths, range(7), tokens_per_batch=100))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= 100
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 200
    assert batches[0] == [4]


def test_common_length_counts_leading_tokens() -> None:
    """The number of equal leading tokens, up to the shorter row."""
    assert common_length([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_length([1, 2], [1, 2, 3]) == 2
    assert common_length([], [1]) == 0
