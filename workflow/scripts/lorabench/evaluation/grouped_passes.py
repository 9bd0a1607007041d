"""Send many rows through a model: grouped by shared prefix, batched by length under a token
budget."""

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
Generate = Callable[
    [Sequence[GenerationRequest]], Iterator[tuple[int, Generation]]
    # an engine, as `generate_rows`
]


def score_rows(
    model: SharedPrefixModel, rows: Sequence[ScoredRow], tokens_per_batch: int
) -> Iterator[tuple[int, list[Score]]]:
    """Yield (position in `rows`, a score for each of its continuations), batch by batch.

    `tokens_per_batch` counts the tokens of a forward pass without the shared prefix.
    """
    tokens = [row.tokens for row in rows]
    for group in plan_groups(tokens, [len(row.tokens) - row.scored for row in rows]):
        cut = group.prefix_length
        prefix = model.encode_prefix(tokens[group.members[0]][:cut])
        lengths = [len(row) - cut for row in tokens]
        for batch in plan_batches(lengths, group.members, tokens_per_batch):
            suffixes = [replace(rows[index], tokens=tokens[index][cut:]) for index in batch]
            yield from zip(batch, model.score(prefix, suffixes), strict=True)


def generate_rows(
    model: SharedPrefixModel, requests: Sequence[GenerationRequest], tokens_per_batch: int
) -> Iterator[tuple[int, Generation]]:
    """Yield (position in `requests`, its generation) as generations end.

    `tokens_per_batch` counts tokens, prompts and new ones, whose keys and values are held at once;
    not the prefix.
    """
    tokens = [request.tokens for request in requests]
    for group in plan_groups(tokens, [len(row) - 1 for row in tokens]):
        cut = group.prefix_length
        prefix = model.encode_prefix(tokens[group.members[0]][:cut])
        order = sorted(group.members, key=lambda index: -len(tokens[index]))
        suffixes = [replace(requests[index], tokens=tokens[index][cut:]) for index in order]
        capacity = max(len(request.tokens) + request.max_new_tokens for request in suffixes)
        for number, generation in model.generate(
            prefix, suffixes, slots=max(1, tokens_per_batch // capacity)
        ):
            yield order[number], generation
