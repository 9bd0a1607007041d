"""Checkpoint folders: only whole ones with safetensors weights are taken, by links."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file, save_file

from lorabench.data.models.checkpoint import checkpoint_files, link_checkpoint
from lorabench.errors import DataError


@pytest.fixture
def checkpoint(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model that a test may break."""
    return shutil.copytree(tiny_model, tmp_path / "checkpoint")


def to_pickle(folder: Path) -> None:
    """Leave pickle weights only."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_off(folder: Path) -> None:
    """Leave half a file."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:400_000])


def to_pointer(folder: Path) -> None:
    """Leave what git-lfs leaves when its files were not pulled."""
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 822632\n"
    )


def lose_shard(folder: Path) -> None:
    """Leave an index of two shards and one of them."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def lose_template(folder: Path) -> None:
    """Leave a base model's tokenizer."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["chat_template"]
    path.write_text(json.dumps(settings))


def change_config(folder: Path, **changes: object) -> None:
    """Add keys to config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_index(text: str) -> Callable[[Path], None]:
    """Leave weights in a shard and an index of this text."""

    def damage(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(text)

    return damage


def empty_template(folder: Path) -> None:
    """Leave a template file without text."""
    lose_template(folder)
    (folder / "chat_template.jinja").write_text("\n")


def pack(folder: Path) -> None:
    """Store a weight in bytes, without a word in config.json."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"lm_head.weight": numpy.zeros((4, 4), numpy.uint8)}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (to_pickle, "only pytorch_model.bin, which can run code when loaded"),
        (cut_off, r"model.safetensors: not a whole safetensors file \(400000 bytes\)"),
        (to_pointer, "model.safetensors: not a whole safetensors file"),
        (lose_shard, "-00002.safetensors missing, which model.safetensors.index.json names"),
        (lose_template, "the tokenizer has no chat template"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (shutil.rmtree, "no such folder"),
        (
            lambda folder: change_config(folder, quantization_config={"quant_method": "gptq"}),
            r"stored quantised \(gptq\).*use the original checkpoint.*use_4bit: true",
        ),
        (
            lambda folder: change_config(folder, text_config={"quantization_config": {"a": 1}}),
            "stored quantised",
        ),
        (lambda folder: (folder / "quantize_config.json").write_text("{}"), "stored quantised"),
        (pack, "is stored as U8, so quantised"),
        (empty_template, "the tokenizer has no chat template"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json:1: not JSON"),
        (
            lambda folder: (folder / "tokenizer_config.json").write_text("[]"),
            "tokenizer_config.json: expected a JSON object",
        ),
        (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object"),
        (write_index("[]"), "expected a weight_map"),
        (write_index('{"weight_map": []}'), "expected a weight_map"),
        (write_index('{"weight_map": {"a": 3}}'), "expected a weight_map"),
        (write_index('{"weight_map": {"a": "../b.safetensors"}}'), "expected a weight_map"),
        (
            lambda folder: change_config(folder, architectures=["BertForMaskedLM"]),
            "BertForMaskedLM is no model that continues a text",
        ),
        (
            lambda folder: change_config(folder, num_hidden_layers=1),
            "num_hidden_layers is 1, but the weights have 2 layers",
        ),
        (
            lambda folder: change_config(folder, hidden_size=100),
            r"are \[1024, 100\], but the weights have \[1024, 64\]",
        ),
    ],
)
def test_unusable_checkpoint_is_refused(
    checkpoint: Path, damage: Callable[[Path], None], message: str
) -> None:
    """Each kind of damage is named before anything loads the folder."""
    damage(checkpoint)
    with pytest.raises(DataError, match=message):
        checkpoint_files(checkpoint)


def test_template_may_stand_in_a_file_of_its_own(checkpoint: Path) -> None:
    """Newer tokenizers keep the chat template in chat_template.jinja."""
    lose_template(checkpoint)
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    assert checkpoint / "chat_template.jinja" in checkpoint_files(checkpoint)


def test_files_are_linked_not_copied(checkpoint: Path, tmp_path: Path) -> None:
    """Pickles are left out, and a missing generation config is made from config.json."""
    (checkpoint / "training_args.bin").write_bytes(b"pickle")
    (checkpoint / "generation_config.json").unlink()
    target = tmp_path / "target"
    target.mkdir()
    link_checkpoint(checkpoint, target)
    assert (target / "model.safetensors").readlink() == checkpoint / "model.safetensors"
    assert not (target / "training_args.bin").exists()
    config = json.loads((checkpoint / "config.json").read_text())
    made = json.loads((target / "generation_config.json").read_text())
    assert made == {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
