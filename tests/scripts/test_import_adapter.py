"""import_adapter copies an adapter that fits and refuses one that does not."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from import_adapter import import_adapter
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, sha256_file, write_json
from lorabench.report.records import remarks
from training_fixtures import describe, make_adapter

pytest_plugins = ["training_fixtures"]


def test_a_fitting_adapter_is_copied_and_said_to_be_imported(
    tiny_source: Path, tmp_path: Path
) -> None:
    """All outputs of training exist; what was not run here says so."""
    source = make_adapter(tiny_source.parent, tmp_path / "its folder")
    import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": str(source)})
    describe(tmp_path / "out")
    hashes = read_json(tmp_path / "out" / "fingerprint.json")["sha256"]
    name = "adapter_model.safetensors"
    assert hashes[name] == sha256_file(source / name)
    assert read_json(tmp_path / "out" / "train_metrics.json")["status"] == "not_run"
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_foreign_adapter_is_refused_in_one_line(tiny_source: Path, tmp_path: Path) -> None:
    """The message names the file, and nothing is written."""
    source = make_adapter(tiny_source.parent, tmp_path / "adapter")
    config = read_json(source / "adapter_config.json")
    write_json(source / "adapter_config.json", config | {"r": 16})
    with pytest.raises(DataError, match=r"adapter_config\.json: r is 16"):
        import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": str(source)})
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigurationError, match="ADAPTER_PATH"):
        import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": None})


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda out, base: named(out, base.name), None),
        (lambda out, base: named(out, f"/home/me/{base.name}/"), None),
        (lambda out, base: named(out, "other/base-7B"), "names 'other/base-7B' as its base"),
        (lambda out, base: trained_on(out, {"model.safetensors": "0" * 64}), "on other weights"),
        (
            lambda out, base: trained_on(out, read_json(base / "source.json")["sha256"], "other/b"),
            None,
        ),
        (lambda out, base: (out / "chat_template.jinja").write_text("other"), "chat template that"),
        (lambda out, base: (out / "tokenizer.json").write_text("{}"), "tokenizer that differs"),
        (lambda out, base: shutil.copy(base / "tokenizer.json", out), None),
    ],
)
def test_what_comes_from_elsewhere_is_remarked_on(
    change: Any,
    remark: str | None,
    tiny_source: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another base, tokenizer or template is in the log and in run_config.json."""
    source = make_adapter(tiny_source.parent, tmp_path / "adapter")
    named(source, tiny_source.parent.name)
    change(source, tiny_source.parent)
    import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": str(source)})
    describe(tmp_path / "out")
    config = read_json(tmp_path / "out" / "run_config.json")
    found = config["remarks"]
    assert found == [record.getMessage() for record in caplog.records if record.levelno >= 30]
    assert (remark in found[0] and len(found) == 1) if remark else found == []
    assert remarks(None, None, config) == found


def named(folder: Path, name: str) -> None:
    """Let the adapter name a base model."""
    config = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", config | {"base_model_name_or_path": name})


def trained_on(folder: Path, sha256: dict[str, str], name: str | None = None) -> None:
    """Let the adapter's record name the content of its base model."""
    if name:
        named(folder, name)
    model = {"name": "x", "source": {"sha256": sha256}}
    write_json(folder / "run_config.json", {"schema_version": 1, "model": model})
