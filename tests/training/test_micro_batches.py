"""Micro-batches: no token lost, no padding when packed, losses unchanged."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lorabench.training.attention import DOCUMENT_SDPA, VARLEN, use_attention
from lorabench.training.encode import IGNORED, Encoded
from lorabench.training.label_loss import install_label_loss
from lorabench.training.micro_batches import (
    MicroBatch,
    Rows,
    best_fit_decreasing,
    pack,
    padded_rows,
)

pytest_plugins = ["training_fixtures", "varlen_on_cpu"]


def items(lengths: list[int]) -> list[Encoded]:
    """Return made-up conversations of these lengths, about half labelled."""
    generator = random.Random(0)
    made = []
    for number, length in enumerate(lengths):
        ids = [generator.randrange(20, 900) for _ in range(length)]
        labels = [
            IGNORED,
            *(token if generator.random() < 0.5 else IGNORED for token in ids[1:-1]),
            ids[-1],
        ]
        made.append(Encoded(id=str(number), input_ids=ids, labels=labels, cut_tokens=0))
    return made


def rows(capacity: int, multiple: int = 1) -> Rows:
    """Return sizes of rows for conversations of at most 64 tokens."""
    return Rows(capacity=capacity, longest=64, multiple=multiple)


def pad(made: list[Encoded], count: int, sizes: Rows) -> list[MicroBatch]:
    """Return passes of `count` conversations, in order."""
    parts = [made[start : start + count] for start in range(0, len(made), count)]
    return [padded_rows(part, sizes, 0) for part in parts]


def test_best_fit_uses_few_bins_and_every_item_once() -> None:
    """No bin overflows, no item is lost, and two half-empty bins never stand side by side."""
    lengths = [random.Random(1).randrange(1, 100) for _ in range(200)]
    bins = best_fit_decreasing(lengths, 100)
    loads = sorted(sum(lengths[index] for index in items) for items in bins)
    assert sorted(index for items in bins for index in items) == list(range(200))
    assert loads[-1] <= 100 and loads[0] + loads[1] > 100


def test_packed_rows_have_no_padding_and_padded_ones_count_it() -> None:
    """Both hold the same tokens and targets."""
    made = items([5, 9, 3, 12, 7])
    packed, padded = pack(made, rows(16)), pad(made, 2, rows(16))
    assert sum(batch.tokens for batch in packed) == sum(batch.tokens for batch in padded) == 36
    assert all(batch.padding == 0 for batch in packed)
    assert [batch.padding for batch in padded] == [4, 9, 0]
    targets = [
        sorted(token for batch in batches for token in batch.targets.tolist())
        for batches in (packed, padded)
    ]
    assert targets[0] == targets[1]


def test_rows_are_filled_up_to_few_lengths() -> None:
    """What fills a packed row is a document without labels."""
    made = items([5, 9, 3, 12, 7])
    packed, padded = pack(made, rows(64, 8)), pad(made, 2, rows(64, 8))
    assert [batch.input_ids.shape for batch in packed] == [(1, 40)]
    assert packed[0].documents == [5, 9, 3, 12, 7, 4] and packed[0].padding == 4
    assert [batch.input_ids.shape for batch in padded] == [(2, 16), (2, 16), (1, 8)]
    unfilled = [pack(made, rows(64)), pad(made, 2, rows(64))]
    for batches, plain in zip((packed, padded), unfilled, strict=True):
        assert [batch.targets.tolist() for batch in batches] == [
            batch.targets.tolist() for batch in plain
        ]


@pytest.mark.usefixtures("varlen_on_cpu")
@pytest.mark.parametrize("attention", [DOCUMENT_SDPA, VARLEN, "sdpa", "eager"])
def test_packed_padded_and_single_losses_agree_with_the_models_own(
    tiny_model: Path, attention: str
) -> None:
    """Conversations in a row do not see each other; any capacity gives the same loss."""
    made = items([40, 25, 33, 12])
    model = (
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        .requires_grad_(False)
        .eval()
    )
    use_attention(model, attention)
    expected = 0.0
    for item in made:
        given: dict[str, Any] = {"input_ids": torch.tensor([item.input_ids])}
        if attention == VARLEN:
            length = len(item.input_ids)
            given |= {"boundaries": torch.tensor([0, length], dtype=torch.int32), "longest": 64}
        logits = model(**given).logits[0, :-1]
        labels = torch.tensor(item.labels[1:])
        expected += torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORED, reduction="sum"
        ).item()
    install_label_loss(model, torch.float32)
    ways = [
        pack(made, rows(1000)),
        pack(made, rows(80)),
        pack(made, rows(1)),
        pack(made, rows(1000, 64)),
        pad(made, 4, rows(64)),
        pad(made, 3, rows(64, 16)),
    ]
    for batches in ways:
        passes = [batch.model_inputs(attention, torch.device("cpu")) for batch in batches]
        total = sum(model(**given)["loss"].item() for given in passes)
        assert total == pytest.approx(expected, rel=1e-5)


def test_the_kernel_gets_cumulative_boundaries_and_a_bound_that_never_changes() -> None:
    """FlashAttention's variable-length kernel takes the ends of the documents, beginning with 0."""
    bounds = set()
    for lengths, ends in (([5, 9], [0, 5, 14, 16]), ([8, 8], [0, 8, 16])):
        (batch,) = pack(items(lengths), rows(32, 8))
        arguments = batch.model_inputs(VARLEN, torch.device("cpu"))
        assert arguments["boundaries"].dtype == torch.int32
        assert arguments["boundaries"].tolist() == ends
        bounds.add(arguments["longest"])
    assert bounds == {64}
