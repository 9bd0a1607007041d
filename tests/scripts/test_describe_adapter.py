"""describe_adapter makes the describing files from the record only, with or without a training."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from import_adapter import import_adapter
from lorabench.files import read_json, write_json
from training_fixtures import describe, make_adapter, train

pytest_plugins = ["training_fixtures"]


def test_the_files_follow_from_the_record(
    tiny_source: Path, prepared: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Written again elsewhere, the files are the same; likelihoods are sums."""
    torch.set_num_threads(1)
    adapter = train(tiny_source, prepared, tmp_path, settings)
    record = read_json(adapter / "training_record.json")
    copy = tmp_path / "copy"
    write_json(copy / "training_record.json", record)
    describe(copy)
    for name in ("train_metrics.json", "run_config.json", "README.md"):
        assert (copy / name).read_bytes() == (adapter / name).read_bytes()
    metrics = read_json(copy / "train_metrics.json")
    for split, size in (("validation", 4), ("train", 4)):
        found = record["likelihood"][split]
        assert len(found["ids"]) == len(found["label_tokens"]) == size
        for who in ("base", "adapter"):
            total = metrics["likelihood"][split][who]
            assert total["nll_sum"] == pytest.approx(sum(found[f"{who}_nll"]))
            assert total["label_tokens"] == sum(found["label_tokens"])
    assert record["likelihood"]["validation"]["ids"] == [f"tree-{n}" for n in range(10, 14)]
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert "tiny-random-llama" in card and "rank 4" in card
    assert ModelCard(card).data.to_dict()["datasets"] == ["OpenAssistant/oasst1"]
    # the export adds the tokenizer
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_source.parent / name, copy / name)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter / name, copy / name)
    lines = card.partition("```python\n")[2].partition("```")[0]
    lines = lines.replace("PATH/TO/THIS/FOLDER", str(copy))
    made: dict[str, Any] = {}
    exec(re.sub(r"PATH/TO/[\w-]+", str(tiny_source.parent), lines), made)
    assert made["model"].peft_config and made["tokenizer"].chat_template


def test_what_an_imported_adapter_says_about_itself_is_taken_over(
    tiny_source: Path, tmp_path: Path
) -> None:
    """Its card and its metrics as they were; what it does not bring says so."""
    source = make_adapter(tiny_source.parent, tmp_path / "Its Folder")
    (source / "README.md").unlink(missing_ok=True)
    write_json(source / "train_metrics.json", {"status": "ok", "from": "elsewhere"})
    import_adapter(model=tiny_source, adapter=tmp_path / "out", settings={"path": str(source)})
    describe(tmp_path / "out")
    assert read_json(tmp_path / "out" / "train_metrics.json")["from"] == "elsewhere"
    assert read_json(tmp_path / "out" / "run_config.json")["status"] == "not_run"
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Copied from a folder `Its Folder`" in card and str(tmp_path) not in card
