"""Activations are kept where they fit, by what one layer was seen to keep."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lorabench.control import memory_model
from lorabench.control.memory_model import layer_bytes
from lorabench.description.flops import shapes_of
from lorabench.errors import PrerequisiteError
from lorabench.files import read_json
from lorabench.llama import load_tokenizer
from lorabench.training import activations, block_attention, label_loss
from lorabench.training import fit as fit_module
from lorabench.training.activations import bytes_kept_by_a_layer
from lorabench.training.encode import Encoded, TrainingData, encode_conversations
from lorabench.training.fit import Fitted, Session, fit
from lorabench.training.lora import load_frozen_base
from lorabench.training.micro_batches import Rows, pack
from lorabench.training.settings import parse_settings
from training_fixtures import conversations

pytest_plugins = ["training_fixtures"]


def encoded(folder: Path) -> list[Encoded]:
    """Return ten encoded conversations."""
    rows = (("here", row) for row in conversations(10))
    return encode_conversations(load_tokenizer(folder), rows, 128)[0]


def fitted_and_inputs(
    folder: Path, work: Path, settings: dict[str, Any]
) -> tuple[Fitted, dict[str, Any]]:
    """Return a model that has trained one epoch, and a full row of input."""
    options = parse_settings(settings | {"num_epochs": 1})
    items = encoded(folder)
    fitted = fit(
        load_frozen_base(folder, options),
        load_tokenizer(folder),
        TrainingData(train=items, validation=items[:2]),
        options,
        Session(work=work),
    )
    batch = pack(items, Rows(capacity=128, longest=128))[0]
    return fitted, batch.model_inputs(fitted.trainer.attention, fitted.trainer.args.device)


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_layer_keeps_what_the_memory_model_counts(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], dropout: float
) -> None:
    """Measured and predicted agree within 5 %; measuring changes nothing."""
    settings |= {"lora_dropout": dropout}
    fitted, inputs = fitted_and_inputs(tiny_model, tmp_path, settings)
    layers = len(activations.decoder_layers(fitted.trainer.adapters))
    before = torch.get_rng_state()
    mode = fitted.trainer.adapters.training
    measured = bytes_kept_by_a_layer(fitted.trainer.adapters, inputs) / activations.CPU_ALLOCATOR
    assert torch.equal(torch.get_rng_state(), before)
    assert fitted.trainer.adapters.training == mode
    assert len(activations.decoder_layers(fitted.trainer.adapters)) == layers
    shapes = shapes_of(read_json(tiny_model / "config.json"))
    tokens = inputs["input_ids"].numel()
    # the row is one conversation of full length
    a_token = layer_bytes(shapes, parse_settings(settings), 4, tokens, gpu=False, compiled=False)
    assert measured == pytest.approx(a_token * tokens, rel=0.05)


def test_the_memory_model_knows_the_sizes_of_the_code() -> None:
    """It needs no torch, so it repeats them."""
    assert memory_model.CHUNK == label_loss.CHUNK
    assert memory_model.BLOCK == block_attention.BLOCK


def test_activations_are_computed_again_only_where_they_do_not_fit(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers recompute as needed, and less than one layer's room is refused."""
    fitted, inputs = fitted_and_inputs(tiny_model, tmp_path / "fitted", settings)
    assert fitted.resolved["recomputed_layers"] == 0
    layer = bytes_kept_by_a_layer(fitted.trainer.adapters, inputs)
    layers = len(activations.decoder_layers(fitted.trainer.adapters))

    def recomputed(room: float, memory: str = "auto") -> int:
        monkeypatch.setattr(fit_module, "room_for_activations", lambda _: room)
        work = tmp_path / f"{memory} {room}"
        again, _ = fitted_and_inputs(tiny_model, work, settings | {"memory": memory})
        layers: int = again.resolved["recomputed_layers"]
        return layers

    assert recomputed(2 * (layers + 1) * layer) == 0
    assert 0 < recomputed((layers + 0.5) * layer * 0.6) <= layers
    assert recomputed(1e12, "least") == layers
    with pytest.raises(PrerequisiteError, match="max_seq_length"):
        recomputed(layer / 10)


def test_a_second_try_of_the_job_asks_for_less_memory(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """First activations are computed again, from the third try on the micro-batch is halved too."""
    options = parse_settings(settings | {"num_epochs": 1})
    items = encoded(tiny_model)
    data = TrainingData(train=items, validation=items[:2])
    found = []
    for attempt in (1, 2, 3):
        session = Session(work=tmp_path / str(attempt), attempt=attempt)
        base = load_frozen_base(tiny_model, options)
        fitted = fit(base, load_tokenizer(tiny_model), data, options, session)
        how = fitted.resolved
        found.append((how["activation_checkpointing"], how["micro_batch_halvings"]))
    assert found == [(False, 0), (True, 0), (True, 1)]
