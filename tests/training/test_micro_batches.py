"""Micro-batches: no token lost, none padded when packed, and the loss of a packed row that of its
conversations."""

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lorabench.training.attention import DOCUMENT_SDPA, boundaries, use_attention
from lorabench.training.encode import IGNORED, Encoded
from lorabench.training.label_loss import install_label_loss
from lorabench.training.likelihood import model_inputs
from lorabench.training.micro_batches import best_fit_decreasing, pack, pad

pytest_plugins = ["training_fixtures"]


def items(lengths: list[int]) -> list[Encoded]:
    """Return made-up conversations of the given lengths, about half of whose tokens are
    labelled."""
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
    packed, padded = pack(made, 16), pad(made, 2, 0)
    assert sum(batch.tokens for batch in packed) == sum(batch.tokens for batch in padded) == 36
    assert all(batch.padding == 0 for batch in packed)
    assert [batch.padding for batch in padded] == [4, 9, 0]
    targets = [
        sorted(token for batch in batches for token in batch.targets.tolist())
        for batches in (packed, padded)
    ]
    assert targets[0] == targets[1]


@pytest.mark.parametrize("attention", [DOCUMENT_SDPA, "sdpa", "eager"])
def test_packed_padded_and_single_losses_agree_with_the_models_own(
    tiny_model: Path, attention: str
) -> None:
    """Conversations in one row do not see each other, and the chunked loss is the cross-entropy of
    full logits."""
    made = items([40, 25, 33, 12])
    model = (
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        .requires_grad_(False)
        .eval()
    )
    use_attention(model, attention)
    expected = 0.0
    for item in made:
        logits = model(input_ids=torch.tensor([item.input_ids])).logits[0, :-1]
        labels = torch.tensor(item.labels[1:])
        expected += torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORED, reduction="sum"
        ).item()
    install_label_loss(model, torch.float32)
    for batches in (pack(made, 1000), pad(made, 4, 0), pack(made, 1)):
        total = sum(
            model(**model_inputs(batch, attention, torch.device("cpu")))["loss"].item()
            for batch in batches
        )
        assert total == pytest.approx(expected, rel=1e-5)


def test_flash_attention_gets_cumulative_boundaries() -> None:
    """FlashAttention's variable-length kernel takes the ends of the documents, beginning with 0."""
    (batch,) = pack(items([5, 9]), 16)
    arguments = boundaries("flash_attention_2", batch, torch.device("cpu"))
    ends = arguments["cu_seq_lens_q"]
    assert (
        isinstance(ends, torch.Tensor) and ends.dtype == torch.int32 and ends.tolist() == [0, 5, 14]
    )
    assert arguments["max_length_q"] == 9
