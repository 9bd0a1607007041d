"""How many tokens a model reads at once, from its config.json; needs no torch."""

from collections.abc import Mapping
from typing import Any

# Names of the same limit in the configs of different architectures.
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx")
# Of layers that attend to a part of the text only (Mistral, Gemma, Phi-3; Llama 4).
WINDOW_KEYS = ("sliding_window", "attention_chunk_size")


def context_length(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a model's config.json lets it read, None where it names no limit.

    Layers with a window count as if the model read no more than that: the attention of training and
    evaluation here has no window, and equals theirs up to that length.
    """
    found = [
        part[key]
        for part in (config, config.get("text_config"))
        if isinstance(part, Mapping)
        for key in (*POSITION_KEYS, *(WINDOW_KEYS if _has_windows(part) else ()))
        if type(part.get(key)) is int and part[key] > 0
    ]
    return min(found, default=None)


def _has_windows(config: Mapping[str, Any]) -> bool:
    """Return whether a layer uses the window that the config names."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return any(kind != "full_attention" for kind in kinds)
    return config.get("use_sliding_window") is not False
