"""Compiled layers: same losses and gradients as eager ones, or a reason why not.

Most tests compile with `aot_eager`: dynamo's graph, its guards and the joint graph of gradients as
on a GPU, without the minute that a C++ compiler takes. One runs inductor's own code.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lorabench.control.memory_model import layer_bytes
from lorabench.description.flops import shapes_of
from lorabench.files import read_json
from lorabench.training import compilation, fit
from lorabench.training.activations import CPU_ALLOCATOR, bytes_kept_by_a_layer
from lorabench.training.attention import VARLEN
from lorabench.training.compilation import what_is_missing, why_not_compiled
from lorabench.training.micro_batches import Rows, pack
from lorabench.training.settings import parse_settings
from training_fixtures import encoded, fit_ten, logged

pytest_plugins = ["training_fixtures", "varlen_on_cpu"]
CPU = torch.device("cpu")
FORWARD_AND_BACKWARD = 2


@pytest.fixture(autouse=True)
def forget_graphs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begin each test without compiled code, and without inductor."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


VARIANTS: list[dict[str, Any]] = [
    {},
    {"packing": False},
    {"use_rslora": True, "learning_rate": 2e-3},
    {"loraplus_ratio": 4.0, "learning_rate": 2e-3},
    {"use_4bit": True},
    {"use_dora": True},
]


@pytest.mark.slow
@pytest.mark.usefixtures("varlen_on_cpu")
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("recomputed", [False, True])
def test_compiled_layers_train_like_eager_ones(
    tiny_model: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    changes: dict[str, Any],
    recomputed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses within 1e-4 of eager float32, gradients 1e-3; ten times that in NF4."""
    settings |= {"lora_dropout": 0.0, "num_epochs": 1} | changes
    settings["memory"] = "least" if recomputed else "auto"
    eager = fit_ten(tiny_model, tmp_path / "eager", settings | {"compile": False})
    monkeypatch.setattr(fit, "choose_attention", lambda *_: VARLEN)
    compiled = fit_ten(tiny_model, tmp_path / "compiled", settings | {"compile": True})
    assert compiled.trainer.attention == VARLEN and compiled.resolved["compiled"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    tolerance = 1e-3 if settings["use_4bit"] else 1e-4
    assert logged(compiled) == pytest.approx(logged(eager), rel=tolerance)
    assert logged(compiled, "grad_norm") == pytest.approx(
        logged(eager, "grad_norm"), rel=10 * tolerance
    )


@pytest.mark.slow
@pytest.mark.usefixtures("varlen_on_cpu")
@pytest.mark.parametrize("use_4bit", [False, True])
def test_one_graph_serves_all_layers_and_lengths(
    tiny_model: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    use_4bit: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No graph break; one graph for training and two for the likelihoods."""
    monkeypatch.setattr(fit, "choose_attention", lambda *_: VARLEN)
    changes = {"compile": True, "use_4bit": use_4bit, "neftune_alpha": 5.0}
    fitted = fit_ten(tiny_model, tmp_path / "work", settings | changes)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1
    assert logged(fitted)[-1] < logged(fitted)[0]
    items = encoded(tiny_model)
    for part in (items, items[:3]):
        fitted.trainer.likelihood(part, "test")
    assert counters["stats"]["unique_graphs"] == 2
    with fitted.trainer.adapters.disable_adapter():
        fitted.trainer.likelihood(items, "test")
    assert counters["stats"]["unique_graphs"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("varlen_on_cpu")
@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_compiled_layer_keeps_what_the_memory_model_counts(
    tiny_model: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    dropout: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured with inductor's own division into forward and backward pass."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager_decomp_partition")
    monkeypatch.setattr(fit, "choose_attention", lambda *_: VARLEN)
    settings |= {"compile": True, "lora_dropout": dropout, "num_epochs": 1}
    fitted = fit_ten(tiny_model, tmp_path / "work", settings)
    (batch, *_) = pack(encoded(tiny_model), Rows(capacity=128, longest=128))
    inputs = batch.model_inputs(fitted.trainer.attention, CPU)
    measured = bytes_kept_by_a_layer(fitted.trainer.adapters, inputs) / CPU_ALLOCATOR
    shapes = shapes_of(read_json(tiny_model / "config.json"))
    a_token = layer_bytes(shapes, parse_settings(settings), 4, 128, gpu=True, compiled=True)
    assert measured == pytest.approx(a_token * inputs["input_ids"].numel(), rel=0.1)


@pytest.mark.slow
def test_a_cpu_runs_compiled_layers_on_request(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inductor's code: losses within 1e-4, gradients 1e-3; a later process compiles nothing."""
    monkeypatch.setattr(compilation, "BACKEND", "inductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    settings |= {"lora_dropout": 0.0, "num_epochs": 1}
    eager = fit_ten(tiny_model, tmp_path / "eager", settings)
    compiled = fit_ten(tiny_model, tmp_path / "compiled", settings | {"compile": True})
    assert compiled.trainer.attention == "sdpa"
    assert logged(compiled) == pytest.approx(logged(eager), rel=1e-4)
    assert logged(compiled, "grad_norm") == pytest.approx(logged(eager, "grad_norm"), rel=1e-3)
    counters = torch._dynamo.utils.counters
    misses = counters["inductor"]["fxgraph_cache_miss"]
    # rows of one conversation need no mask, and so another graph than the others
    assert misses == counters["stats"]["unique_graphs"] * FORWARD_AND_BACKWARD
    torch._dynamo.reset()
    for part in (tmp_path / "compiled").iterdir():
        if part.name != "compiled":
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    again = fit_ten(tiny_model, tmp_path / "compiled", settings | {"compile": True})
    assert logged(again) == logged(compiled)
    assert counters["inductor"]["fxgraph_cache_hit"] == misses
    assert not counters["inductor"]["fxgraph_cache_miss"]


def test_a_compiler_that_fails_is_a_reason(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `auto` the training goes on uncompiled, and the record says so."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("no space left for kernels")

    monkeypatch.setattr(compilation, "BACKEND", broken)
    monkeypatch.setattr(fit, "why_not_compiled", lambda *_: None)
    fitted = fit_ten(tiny_model, tmp_path / "work", settings | {"num_epochs": 1})
    assert "the compiler failed" in str(fitted.resolved["not_compiled_because"])
    assert logged(fitted)


def test_why_layers_are_not_compiled(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU, an old GPU, DoRA, a missing compiler: each has its words."""
    options = parse_settings(settings)

    def reason(changes: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        return why_not_compiled(parse_settings(settings | changes), torch.device(device), dtype)

    assert options.compile == "auto"
    assert "no GPU" in str(reason({}, "cpu", torch.bfloat16))
    assert "bfloat16" in str(reason({}, "cuda", torch.float32))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert "DoRA" in str(reason({"use_dora": True}, "cuda", torch.bfloat16))
    assert reason({}, "cuda", torch.bfloat16) == what_is_missing()
    assert reason({"compile": False}, "cuda", torch.bfloat16) == "compile is false"
    assert reason({"compile": True}, "cpu", torch.float32) is None
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(compilation.shutil, "which", lambda _: None)
    assert "C compiler" in str(what_is_missing())
