"""An adapter is used whole or not at all."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lorabench.adapter_loading import attach_adapter, check_attached
from lorabench.errors import DataError, LorabenchError, MeasurementError
from lorabench.files import read_json, write_json
from lorabench.llama import load_tokenizer
from lorabench.safetensors_header import read_header
from lorabench.training.adapter.arithmetic import check_weights
from lorabench.training.adapter.check import check_adapter
from lorabench.training.adapter.merge import add_turn_end, load, merge
from training_fixtures import make_adapter

pytest_plugins = ["training_fixtures"]

ATTENTION = ["q_proj", "v_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.*v_proj": 3}},
    "one layer": {"layers_to_transform": [1]},
    "regex": {"target_modules": r".*layers\.0\..*(q|k)_proj"},
    "exclude": {"exclude_modules": ["layers.0.self_attn.q_proj"]},
    "head": {"target_modules": [*ATTENTION, "lm_head"]},
    "embedding": {"target_modules": [*ATTENTION, "embed_tokens"]},
    "head saved whole": {"modules_to_save": ["lm_head"]},
    "all linear": {"target_modules": "all-linear"},
}


def make(base: Path, folder: Path, **changes: Any) -> Path:
    """Write a random adapter of rank 4 and return its folder."""
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ATTENTION,
        "task_type": "CAUSAL_LM",
    }
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(**(options | changes)))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
                assert "lora" in name or "modules_to_save" in name
    adapted.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_merged_as_its_files_say(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    """No fault in the headers, all tensors in the model, and merged weights are W + scaling B A."""
    adapter = make(tiny_model, tmp_path / "adapter", **KINDS[kind])
    assert check_adapter(adapter, tiny_model) == []
    place = torch.device("cpu")
    model = attach_adapter(load(tiny_model, torch.float32, place), adapter)
    found = check_weights(merge(model), tiny_model, adapter, place)
    assert found.adapted > 0 and found.max_abs_update > 1e-3
    assert found.difference_to_update < 1e-4


def rename(adapter: Path, change: Any) -> None:
    """Rewrite the adapter's tensors."""
    tensors = change(load_file(adapter / "adapter_model.safetensors"))
    save_file(tensors, adapter / "adapter_model.safetensors", metadata={"format": "pt"})


def configure(adapter: Path, **changes: Any) -> None:
    """Rewrite keys of the adapter's configuration."""
    config = read_json(adapter / "adapter_config.json")
    write_json(adapter / "adapter_config.json", config | changes)


def test_names_without_their_prefix_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Case 1: it loads as nothing; header, loader and merge each notice."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    good = shutil.copytree(adapter, tmp_path / "good")
    prefix = "base_model.model."
    rename(adapter, lambda tensors: {k.removeprefix(prefix): v for k, v in tensors.items()})
    (fault,) = check_adapter(adapter, tiny_model)
    assert "no tensor of the file fits the model" in fault and prefix in fault
    place = torch.device("cpu")
    with pytest.raises(DataError, match="not loaded, since nothing in the model has their names"):
        attach_adapter(load(tiny_model, torch.float32, place), adapter)
    with pytest.raises(MeasurementError, match="was not loaded or merged whole"):
        check_weights(load(tiny_model, torch.float32, place), tiny_model, good, place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {k.replace("layers.1", "layers.1.other"): v for k, v in t.items()},
            "does not have",
        ),
        (
            lambda t: {k: v for k, v in t.items() if "layers.1.self_attn.q_proj" not in k},
            "no tensors for 1 of the 14 modules .*layers.1.self_attn.q_proj; they would stay",
        ),
        (lambda t: dict(list(t.items())[1:]), "has only lora_B"),
        (
            lambda t: t | {"base_model.model.model.norm.weight": torch.ones(64)},
            "1 tensors replace weights of the base",
        ),
        (
            lambda t: {k: torch.full_like(v, torch.nan) if i == 3 else v for i, (k, v) in _each(t)},
            "infinite or not a number in 1 tensors",
        ),
        (
            lambda t: {
                k: (v * torch.inf).to(torch.bfloat16) if i == 3 else v for i, (k, v) in _each(t)
            },
            "infinite or not a number",
        ),
        (lambda t: {k: v * 1e30 for k, v in t.items()}, "beyond 2\\^20"),
        (lambda t: {k: (v * 1e30).bfloat16() for k, v in t.items()}, "beyond 2\\^20"),
        (lambda t: {k: v.to(torch.int8) for k, v in t.items()}, "holds I8 values"),
        (lambda t: {k: v for k, v in t.items() if "lora" not in k}, "no LoRA tensors"),
        (lambda t: {k: v.double() * torch.nan for k, v in t.items()}, "infinite or not a number"),
        (
            lambda t: {k: v * 0 if "lora_B" in k else v for k, v in t.items()},
            "every lora_B is zero, so the adapter changes nothing",
        ),
        (
            lambda t: {k: v[:, :2].clone() if "lora_B" in k else v for k, v in t.items()},
            "r is 4, but the tensors have rank 2",
        ),
    ],
)
def test_what_would_be_passed_over_is_named(
    change: Any, message: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Whatever is missing, too much or no number: one line, before any work."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    rename(adapter, change)
    (fault,) = check_adapter(adapter, tiny_model)
    assert re.search(message, fault), fault


def _each(tensors: dict[str, torch.Tensor]) -> list[tuple[int, tuple[str, torch.Tensor]]]:
    return list(enumerate(tensors.items()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"target_modules": ["q_proj"]}, "modules that adapter_config.json does not name"),
        ({"layers_to_transform": [0]}, "does not name"),
        ({"modules_to_save": ["lm_head"]}, "no tensors for 1 of .*lm_head"),
        ({"use_dora": True}, "use_dora is True, but 0 of 14"),
        ({"trainable_token_indices": [1, 2]}, "single rows of the embedding"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base's weights"),
        ({"lora_alpha": 0}, "changes nothing"),
        ({"lora_alpha": None}, "expected numbers"),
        ({"lora_dropout": 5}, "lora_dropout: expected a number from 0 to 1"),
        ({"task_type": "SEQ_CLS"}, "task_type is 'SEQ_CLS'"),
        ({"use_bdlora": {"nblocks": 2}}, "block-diagonal"),
        ({"monteclora_config": {"num_samples": 2}}, "sampled weights"),
        ({"velora_config": {"scale": 1}}, "compressed activations"),
        ({"rank_pattern": {"q_proj": 2}}, "r is 2, but the tensors have rank 4"),
    ],
)
def test_a_configuration_that_says_otherwise_is_refused(
    changes: dict[str, Any], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    """The file must be what its configuration says, no more and no less."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    configure(adapter, **changes)
    fault = check_adapter(adapter, tiny_model)[0]
    assert re.search(message, fault), fault


def test_a_head_that_is_the_embedding_is_not_merged(tiny_model: Path, tmp_path: Path) -> None:
    """Tied weights: a change of the head would change the embedding, too."""
    base = shutil.copytree(tiny_model, tmp_path / "tied")
    config = json.loads((base / "config.json").read_text())
    write_json(base / "config.json", config | {"tie_word_embeddings": True})
    adapter = make(tiny_model, tmp_path / "adapter", target_modules=[*ATTENTION, "lm_head"])
    (fault,) = check_adapter(adapter, base)
    assert "lm_head" in fault and "tie_word_embeddings" in fault
    plain = make(tiny_model, tmp_path / "plain")
    assert check_adapter(plain, base) == []


def test_values_that_change_while_loading_are_noticed(tiny_model: Path, tmp_path: Path) -> None:
    """The model's tensors are compared with the file's, value by value."""
    adapter = make(tiny_model, tmp_path / "adapter")
    model = attach_adapter(load(tiny_model, torch.bfloat16, torch.device("cpu")), adapter)
    rename(adapter, lambda tensors: {name: value * 2 for name, value in tensors.items()})
    with pytest.raises(LorabenchError, match="loaded with other values"):
        check_attached(model, adapter / "adapter_model.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": "(q_proj"},
        {"target_modules": 3},
        {"lora_alpha": "8"},
        {"lora_alpha": float("nan")},
        {"rank_pattern": [1]},
        {"r": None},
        {"r": 4.0},
        {"r": "4"},
        {"rank_pattern": None},
        {"modules_to_save": "lm_head"},
        {"layers_to_transform": "x", "target_modules": ["q_proj"]},
        {"modules_to_save": 5},
        {"bias": 3},
    ],
)
def test_a_configuration_of_nonsense_is_one_line(
    changes: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    """Whatever is in the file, the check answers with lines."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(read_json(path) | changes))
    faults = check_adapter(adapter, tiny_model)
    assert faults and all("adapter_config.json" in fault and "\n" not in fault for fault in faults)


def test_the_merged_checkpoint_ends_turns_where_the_template_does(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A generation config that names another end gets the template's besides."""
    tokenizer = load_tokenizer(tiny_model)
    end, turn = (tokenizer.get_vocab()[name] for name in ("<|end_of_text|>", "<|eot_id|>"))
    for before, after in ((end, [end, turn]), ([end, turn], [end, turn]), (None, [turn])):
        write_json(tmp_path / "generation_config.json", {"eos_token_id": before})
        add_turn_end(tmp_path, tokenizer)
        assert read_json(tmp_path / "generation_config.json")["eos_token_id"] == after


@pytest.mark.parametrize("content", ["[" * 100_000, '{"r": ' + "9" * 5000 + "}", None])
def test_a_configuration_that_cannot_be_read_is_one_line(
    content: str | None, tiny_model: Path, tmp_path: Path
) -> None:
    """Nested without end, a number of thousands of digits, a folder."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.unlink()
    path.mkdir() if content is None else path.write_text(content)
    (fault,) = check_adapter(adapter, tiny_model)
    assert "adapter_config.json" in fault and "cannot be read" in fault


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4, 64], "data_offsets": [500, 200]},
        {"dtype": "F32", "shape": [4, 60], "data_offsets": [0, 1024]},
        {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 1024]},
        {"dtype": "F32", "shape": [256], "data_offsets": [-1024, 1024]},
        "[" * 100_000,
    ],
)
def test_a_header_that_lies_is_refused(entry: Any, tmp_path: Path) -> None:
    """Sizes that do not fit the shape, offsets out of order, a header nested without end."""
    header = (entry if isinstance(entry, str) else json.dumps({"x.lora_A.weight": entry})).encode()
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(1024))
    with pytest.raises(DataError, match="not a whole safetensors file"):
        read_header(file)


def test_a_configuration_that_is_no_utf8_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    """The file is named."""
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    (adapter / "adapter_config.json").write_bytes(b'{"r": "\xff"}')
    (fault,) = check_adapter(adapter, tiny_model)
    assert "adapter_config.json: not UTF-8 (byte 8)" in fault
