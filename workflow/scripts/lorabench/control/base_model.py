"""What is known of a run's base model before the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.files import read_json

# Shapes of Meta-Llama-3-8B (its config.json), for predictions before the gated checkpoint is here.
LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def model_folder(run: Mapping[str, Any]) -> Path | None:
    """Return the folder of the run's base model if it is here already."""
    base = run["fetch_model"]["base"]
    folder = (
        Path(base["path"]) if base["kind"] == "path" else Path("resources/models") / base["name"]
    )
    return folder if (folder / "config.json").is_file() else None


def base_config(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the base model's config.json: its own, or by its name, else None."""
    folder = model_folder(run)
    if folder is not None:
        return read_json(folder / "config.json")
    return LLAMA_3_8B if "Llama-3-8B" in run["fetch_model"]["base"]["name"] else None
