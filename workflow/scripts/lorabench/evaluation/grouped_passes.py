"""Send many rows through a model, grouped by shared prefix and batched by length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lorabench.evaluation.shared_prefix_model import (
    Generation,
    GenerationRequest,
    ScoredRow,
    SharedPrefixModel,
)
from lorabench.evaluation.sharing import plan_batches, plan_groups

# log-likelihood of a continuation, whether it is the greedy choice
Score = tuple[float, bool]
# an engine, as `generate_rows`
Generate = Callable[[Sequence[GenerationRequest]], Iterator[tuple[int, Generation]]]


# of "auto": tokens of a forward pass, and on a CPU tokens whose keys and values are held
USUAL_TOKENS = 32768
# of "auto" on a GPU: share of its free memory for keys and values; rows of a step, above which a
# step's arithmetic takes longer than reading the weights
MEMORY_SHARE, MOST_ROWS = 0.7, 256


def score_rows(
    model: SharedPrefixModel, rows: Sequence[ScoredRow], tokens_per_batch: int | str
) -> Iterator[tuple[int, list[Score]]]:
    """Yield (position in `rows`, a score for each of its continuations), batch by batch.

    `tokens_per_batch` counts the tokens of a forward pass without the shared prefix; "auto" =
    `USUAL_TOKENS`.
    """
    budget = tokens_of(tokens_per_batch)
    tokens = [row.tokens for row in rows]
    for group in plan_groups(tokens, [len(row.tokens) - row.scored for row in rows]):
        cut = group.prefix_length
        prefix = model.encode_prefix(tokens[group.members[0]][:cut])
        lengths = [len(row) - cut for row in tokens]
        for batch in plan_batches(lengths, group.members, budget):
            suffixes = [replace(rows[index], tokens=tokens[index][cut:]) for index in batch]
            yield from zip(batch, model.score(prefix, suffixes), strict=True)


def generate_rows(
    model: SharedPrefixModel, requests: Sequence[GenerationRequest], tokens_per_batch: int | str
) -> Iterator[tuple[int, Generation]]:
    """Yield (position in `requests`, its generation) as generations end.

    `tokens_per_batch` counts tokens, prompts and new ones, whose keys and values are held at once;
    not the prefix. "auto" = what a GPU's free memory holds, on a CPU `USUAL_TOKENS`.
    """
    tokens = [request.tokens for request in requests]
    for group in plan_groups(tokens, [len(row) - 1 for row in tokens]):
        cut = group.prefix_length
        prefix = model.encode_prefix(tokens[group.members[0]][:cut])
        order = sorted(group.members, key=lambda index: -len(tokens[index]))
        suffixes = [replace(requests[index], tokens=tokens[index][cut:]) for index in order]
        capacity = max(len(request.tokens) + request.max_new_tokens for request in suffixes)
        for number, generation in model.generate(
            prefix, suffixes, slots=slots_for(model, tokens_per_batch, capacity)
        ):
            yield order[number], generation


def tokens_of(tokens_per_batch: int | str) -> int:
    """Return the config's `tokens_per_batch` as a number."""
    return USUAL_TOKENS if isinstance(tokens_per_batch, str) else tokens_per_batch


def slots_for(model: SharedPrefixModel, tokens_per_batch: int | str, capacity: int) -> int:
    """Return how many rows of `capacity` tokens are generated together."""
    free = model.free_bytes() if isinstance(tokens_per_batch, str) else None
    if free is None:
        return max(1, tokens_of(tokens_per_batch) // capacity)
    held = int(MEMORY_SHARE * free) // (model.bytes_per_token * capacity)
    return min(max(1, held), MOST_ROWS)
