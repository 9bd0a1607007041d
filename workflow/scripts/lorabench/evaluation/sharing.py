"""Which rows share a prefix worth encoding once, and which rows are one batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# tokens; what one more forward pass costs in addition to its tokens
PASS_COST = 64
# prefixes nested in prefixes; far more than benchmarks have
DEEPEST_CUT = 100


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are computed on one shared prefix."""

    # tokens; 0 = nothing is shared
    prefix_length: int
    # indices of rows
    members: list[int]


def plan_groups(rows: Sequence[Sequence[int]], limits: Sequence[int]) -> list[Group]:
    """Group rows by common prefixes so that few tokens are computed; nothing is known of tasks.

    The rows are sorted, which puts shared prefixes next to each other, and a range of rows is cut
    at its shortest common prefixes wherever the parts together cost less than the whole.

    Args:
        rows: token ids.
        limits: for each row the most tokens that a prefix may take (what is scored must stay
            outside).

    Returns:
        Groups in which every row is exactly once; rows that share nothing form one group with an
        empty prefix.
    """
    order = sorted(range(len(rows)), key=lambda index: tuple(rows[index]))
    common = [0, *(common_length(rows[a], rows[b]) for a, b in pairwise(order))]
    shared: list[Group] = []
    single: list[int] = []
    for start, stop in _split(order, common, rows, limits, 0, len(order))[1]:
        length = _prefix_length(order, common, limits, start, stop)
        if length == 0:
            single.extend(order[start:stop])
        else:
            shared.append(Group(prefix_length=length, members=order[start:stop]))
    return shared + ([Group(prefix_length=0, members=single)] if single else [])


def _split(
    order: list[int],
    common: list[int],
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    start: int,
    stop: int,
    depth: int = 0,
) -> tuple[int, list[tuple[int, int]]]:
    """Return the least cost in tokens of sorted rows `start` to `stop`, and its ranges."""
    if start == stop:
        return 0, []
    length = _prefix_length(order, common, limits, start, stop)
    tokens = sum(len(rows[order[i]]) for i in range(start, stop))
    whole = tokens - (stop - start - 1) * length + (PASS_COST if length else 0)
    if stop - start == 1 or depth == DEEPEST_CUT:
        return whole, [(start, stop)]
    shortest = min(common[start + 1 : stop])
    cuts = [start, *(i for i in range(start + 1, stop) if common[i] == shortest), stop]
    parts = [_split(order, common, rows, limits, a, b, depth + 1) for a, b in pairwise(cuts)]
    apart = sum(cost for cost, _ in parts)
    if apart < whole:
        return apart, [piece for _, pieces in parts for piece in pieces]
    return whole, [(start, stop)]


def _prefix_length(
    order: list[int], common: list[int], limits: Sequence[int], start: int, stop: int
) -> int:
    if stop - start == 1:
        return 0
    return min(min(common[start + 1 : stop]), min(limits[order[i]] for i in range(start, stop)))


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the number of leading tokens that two rows have in common."""
    low, high = 0, min(len(first), len(second))
    # halving compares slices at the speed of C
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def plan_batches(
    lengths: Sequence[int], members: Sequence[int], tokens_per_batch: int
) -> Iterator[list[int]]:
    """Yield batches of `members`, longest first, that hold at most `tokens_per_batch` tokens.

    Rows that differ much in length are kept apart: padded to the longest, which attention does to
    them, a batch is at most twice the budget. A row longer than the budget is its own batch.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(members, key=lambda member: -lengths[member]):
        padded = (len(batch) + 1) * lengths[batch[0]] if batch else 0
        if batch and (tokens + lengths[index] > tokens_per_batch or padded > 2 * tokens_per_batch):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch
