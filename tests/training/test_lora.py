"""The trainable model: gradients, float32 adapters, survived lack of memory."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorabench.errors import DataError
from lorabench.llama import load_base
from lorabench.training.checkpoints import read_history
from lorabench.training.encode import Encoded
from lorabench.training.fit import Fitted
from lorabench.training.micro_batches import Rows, pack
from lorabench.training.trainer import AdapterTrainer
from training_fixtures import encoded, fit_ten, logged

pytest_plugins = ["training_fixtures"]
# What a library announces to remove, a training run does not use.
pytestmark = pytest.mark.filterwarnings("error::FutureWarning", "error::DeprecationWarning")

ROWS = Rows(capacity=128, longest=128)


def gradient_norms(fitted: Fitted, items: list[Encoded]) -> dict[str, float]:
    """Return the norm of each lora_B gradient of one summed loss."""
    fitted.trainer.adapters.train().zero_grad()
    for batch in pack(items, ROWS):
        fitted.trainer.adapters(
            **batch.model_inputs(fitted.trainer.attention, fitted.trainer.args.device)
        )["loss"].backward()
    parameters = fitted.trainer.adapters.named_parameters()
    return {
        name: parameter.grad.norm().item()
        for name, parameter in parameters
        if "lora_B" in name and parameter.grad is not None
    }


@pytest.mark.parametrize("use_4bit", [False, True])
def test_a_base_that_lacks_a_weight_is_refused(
    tiny_model: Path, tmp_path: Path, use_4bit: bool
) -> None:
    """The library would draw the weight at random, with a remark in the log."""
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 of the model's weights, such as lm_head.weight"):
        load_base(folder, torch.float32, use_4bit)


@pytest.mark.parametrize("use_4bit", [False, True])
def test_gradients_after_an_evaluation_are_those_before_it(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], use_4bit: bool
) -> None:
    """With AVX512-BF16, 4-bit layers would lose most of their gradient."""
    fitted = fit_ten(
        tiny_model,
        tmp_path / "work",
        settings | {"use_4bit": use_4bit, "lora_dropout": 0.0, "num_epochs": 1},
    )
    items = encoded(tiny_model)
    before = gradient_norms(fitted, items)
    fitted.trainer.likelihood(items, "test")
    assert gradient_norms(fitted, items) == before
    assert min(before.values()) > 0


@pytest.mark.parametrize("use_4bit", [False, True])
def test_adapters_and_optimiser_state_are_float32(
    tiny_model: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    use_4bit: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bfloat16 an Adam moment would never decay and small updates would vanish."""
    seen: list[torch.dtype] = []
    original = AdapterTrainer.log

    def look(self: AdapterTrainer, logs: dict[str, float], start_time: float | None = None) -> None:
        assert self.optimizer is not None
        for parameter, state in self.optimizer.state.items():
            seen.extend([parameter.dtype, state["exp_avg"].dtype, state["exp_avg_sq"].dtype])
        original(self, logs, start_time)

    monkeypatch.setattr(AdapterTrainer, "log", look)
    fit_ten(tiny_model, tmp_path / "work", settings | {"use_4bit": use_4bit, "num_epochs": 1})
    assert set(seen) == {torch.float32}


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recompute first, then more passes; events are recorded, the loss is the same."""
    settings |= {"lora_dropout": 0.0}
    calm = fit_ten(tiny_model, tmp_path / "calm", settings)
    original = AdapterTrainer._loss

    def scarce(self: AdapterTrainer, model: Any, batch: Any) -> torch.Tensor:
        if batch.input_ids.numel() > 64 and len(batch.documents) > 1:
            raise torch.OutOfMemoryError("simulated")
        return original(self, model, batch)

    monkeypatch.setattr(AdapterTrainer, "_loss", scarce)
    tight = fit_ten(tiny_model, tmp_path / "tight", settings)
    first, *others = [
        event for event in read_history(tmp_path / "tight") if event["event"] == "out_of_memory"
    ]
    assert first["activation_checkpointing"]
    assert tight.resolved["recomputed_layers"] > 0 and calm.resolved["recomputed_layers"] == 0
    halvings = tight.resolved["micro_batch_halvings"]
    assert [event["halvings"] for event in others] == list(range(1, halvings + 1))
    assert halvings >= 1
    losses = [logged(fitted) for fitted in (calm, tight)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_rslora": True, "learning_rate": 2e-3},
        {"use_dora": True},
        {"use_dora": True, "use_4bit": True},
        {"loraplus_ratio": 4.0, "learning_rate": 2e-3},
        {"neftune_alpha": 5.0},
        {"packing": False, "neftune_alpha": 5.0},
        {"lr_scheduler": "constant", "num_epochs": 1.5},
    ],
)
def test_every_variant_of_the_recipe_learns(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    """rsLoRA, DoRA, LoRA+, NEFTune and schedules lower the training loss."""
    fitted = fit_ten(tiny_model, tmp_path / "work", settings | changes)
    losses = logged(fitted)
    assert losses[-1] < losses[0] - 0.1


def test_the_best_adapter_is_kept_and_training_stops_early(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """At a ruinous learning rate the loss rises soon; the best adapter so far is the result."""
    changes = {
        "learning_rate": 10.0,
        "evaluations_per_epoch": 3,
        "early_stopping_patience": 1,
        "keep_best": True,
    }
    fitted = fit_ten(
        tiny_model, tmp_path / "work", settings | changes | {"num_epochs": 6, "warmup_share": 0.0}
    )
    losses = logged(fitted, "eval_loss")
    assert len(losses) < 18
    items = encoded(tiny_model)[:3]
    nll = sum(fitted.trainer.likelihood(items, "test"))
    assert nll / sum(item.label_count for item in items) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("use_4bit", [False, True])
def test_activation_checkpointing_changes_memory_only(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], use_4bit: bool
) -> None:
    """Recomputed activations, dropout included, give the same losses."""
    settings |= {"use_4bit": use_4bit}
    kept = fit_ten(tiny_model, tmp_path / "kept", settings)
    recomputed = fit_ten(tiny_model, tmp_path / "recomputed", settings | {"memory": "least"})
    found = [fitted.trainer.adapters.is_activation_checkpointing for fitted in (kept, recomputed)]
    assert found == [False, True]
    losses = [logged(fitted) for fitted in (kept, recomputed)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
