"""Where an imported adapter differs from the model it is put on; these are no faults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.files import read_json, sha256_file
from lorabench.training.adapter.folder import CONFIG


def find_remarks(adapter: Path, model: Path) -> list[str]:
    """Return a sentence for each difference.

    Args:
        adapter: the adapter's folder.
        model: source.json next to the base model's checkpoint.
    """
    config, record = read_json(adapter / CONFIG), read_json(model)
    own = adapter / "run_config.json"
    trained_on = (read_json(own) if own.is_file() else {}).get("model") or {}
    hashes = _weights((trained_on.get("source") or {}).get("sha256") or {})
    here = _weights(record.get("sha256") or {})
    if hashes and here:
        remarks = _compare_content(hashes == here, trained_on.get("name"), model)
    else:
        remarks = _compare_names(config, record, model)
    return remarks + _compare_tokenizers(adapter, model.parent)


def _weights(sha256: Mapping[str, str]) -> set[str]:
    """Return the hashes of weight files; how the files are called says nothing."""
    return {value for name, value in sha256.items() if name.endswith(".safetensors")}


def _compare_content(same: bool, name: Any, model: Path) -> list[str]:
    if same:
        return []
    return [
        f"The adapter was trained on other weights ({name}, by the hashes in its run_config.json)"
        f" than those of this run's base model {model.parent.name}; its scores are those on"
        f" {model.parent.name}."
    ]


def _compare_names(config: Mapping[str, Any], record: Mapping[str, Any], model: Path) -> list[str]:
    named = str(config.get("base_model_name_or_path") or "")
    origin = str(record.get("origin") or "").partition("@")[0]
    known = {_last(text) for text in (model.parent.name, origin)}
    if named and _last(named) not in known:
        return [
            f"The adapter names {named!r} as its base model, this run puts it on"
            f" {model.parent.name}: the shapes fit, whether the weights do was not recorded; its"
            f" scores are those on {model.parent.name}."
        ]
    revision, pinned = config.get("revision"), record.get("revision")
    if record.get("kind") == "hub" and revision and pinned and revision != pinned:
        return [
            f"The adapter was trained on revision {revision} of {named}, this run's base is"
            f" revision {pinned}."
        ]
    return []


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


def _compare_tokenizers(adapter: Path, base: Path) -> list[str]:
    remarks = []
    template = _template(adapter)
    if template is not None and template != _template(base):
        remarks.append(
            "The adapter's folder has a chat template that differs from the base model's; this"
            " pipeline uses the base model's, so prompts may look otherwise than in its training."
        )
    tokenizer = adapter / "tokenizer.json"
    if tokenizer.is_file() and sha256_file(tokenizer) != sha256_file(base / tokenizer.name):
        remarks.append(
            "The adapter's folder has a tokenizer that differs from the base model's; this pipeline"
            " uses the base model's."
        )
    return remarks


def _template(folder: Path) -> Any:
    """Return the chat template of a folder, None where it has none."""
    own, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    return read_json(config).get("chat_template") if config.is_file() else None
