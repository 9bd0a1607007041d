"""How many tokens a model reads at once, from its config.json; needs no torch."""

from collections.abc import Mapping
from typing import Any

# Names of the same limit in the configs of different architectures.
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx")


def context_length(config: Mapping[str, Any]) -> int | None:
    """Return the positions that a model's config.json names, None where it names no limit."""
    for part in (config, config.get("text_config")):
        if isinstance(part, Mapping):
            for key in POSITION_KEYS:
                if isinstance(part.get(key), int) and not isinstance(part[key], bool):
                    return int(part[key])
    return None
