"""import_adapter copies an adapter that fits and refuses one that does not."""

from pathlib import Path

import pytest

from import_adapter import import_adapter
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, sha256_file, write_json
from training_fixtures import describe, make_adapter

pytest_plugins = ["training_fixtures"]


def test_a_fitting_adapter_is_copied_and_said_to_be_imported(
    tiny_source: Path, tmp_path: Path
) -> None:
    """All outputs of training exist; what was not run here says so."""
    source = make_adapter(tiny_source.parent, tmp_path / "its folder")
    import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": str(source)})
    describe(tmp_path / "out")
    weights = sha256_file(source / "adapter_model.safetensors")
    assert (
        read_json(tmp_path / "out" / "fingerprint.json")["sha256"]["adapter_model.safetensors"]
        == weights
    )
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
