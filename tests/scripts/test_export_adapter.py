"""Publishing an adapter."""

import os
from pathlib import Path

import pytest

from export_adapter import export_adapter
from lorabench import publishing
from lorabench.adapter_loading import check_attached
from lorabench.files import read_json, write_json
from training_fixtures import make_adapter


def make(folder: Path, size: int) -> list[Path]:
    """Write two adapter files and return them."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(size))
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    return sorted(folder.iterdir())


def export(files: list[Path]) -> None:
    """Publish adapter files next to their folder."""
    folder = files[0].parents[1]
    export_adapter(files=files, model=folder / "source.json", folder=folder / "published")


@pytest.fixture(autouse=True)
def link_from_a_kilobyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Link small files too."""
    monkeypatch.setattr(publishing, "LINK_FROM_BYTES", 1000)


def test_large_files_are_linked_and_small_ones_copied(tmp_path: Path) -> None:
    """Weights are stored once; a touch of a published small file leaves its source as it is."""
    files = make(tmp_path / "adapter", 1000)
    export(files)
    published = tmp_path / "published"
    assert (published / "adapter_model.safetensors").samefile(files[1])
    assert not (published / "adapter_config.json").samefile(files[0])
    assert (published / "adapter_config.json").read_text(encoding="utf-8") == "{}"


def test_export_again_follows_a_new_adapter(tmp_path: Path) -> None:
    """A second export replaces the first and leaves no temporary file."""
    files = make(tmp_path / "adapter", 1000)
    export(files)
    export(files)
    files[1].unlink()
    new = make(tmp_path / "adapter", 2000)
    export(new)
    names = sorted(path.name for path in (tmp_path / "published").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "exported_files.json"]
    assert (tmp_path / "published" / names[1]).read_bytes() == new[1].read_bytes()


def test_without_hard_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another file system the export works all the same."""

    def refuse(source: Path, target: Path) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    files = make(tmp_path / "adapter", 1000)
    export(files)
    published = tmp_path / "published" / "adapter_model.safetensors"
    assert published.read_bytes() == files[1].read_bytes()
    assert not published.samefile(files[1])


def test_the_export_loads_where_its_base_is_found(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base without an address is found by its name; the tokenizer is there."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    files = [adapter / name for name in ("adapter_config.json", "adapter_model.safetensors")]
    write_json(files[0], read_json(files[0]) | {"base_model_name_or_path": tiny_model.name})
    export_adapter(files=files, model=tiny_model / "source.json", folder=tmp_path / "published")
    monkeypatch.chdir(tiny_model.parent)
    model = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "published")
    check_attached(model, files[1])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "published")
    original = AutoTokenizer.from_pretrained(tiny_model)
    assert tokenizer.chat_template == original.chat_template
    assert tokenizer("Hi <|eot_id|>") == original("Hi <|eot_id|>")
