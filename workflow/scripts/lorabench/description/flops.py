"""Floating-point operations of LoRA training, counted from shapes.

A matrix of N entries costs 2N a token forward and 2N for the gradient towards its input; only
trained matrices cost 2N more for their own gradient. Causal attention costs 2 x length x (heads x
head size) a token and layer forward, averaged over positions, and twice that backward. Activation
checkpointing repeats the layers' forward pass. A trainer's 6N counts weight gradients that LoRA
never computes.
"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What the count needs to know of a model of the Llama architecture."""

    hidden: int
    intermediate: int
    layers: int
    # heads x head size
    attention_width: int
    # key-value heads x head size
    key_value_width: int
    vocabulary: int
    head_size: int
    # the output layer is the embedding
    tied: bool

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear maps of one layer, by module name."""
        return {
            "q_proj": (self.hidden, self.attention_width),
            "k_proj": (self.hidden, self.key_value_width),
            "v_proj": (self.hidden, self.key_value_width),
            "o_proj": (self.attention_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def layer_parameters(self) -> int:
        """Entries of all layers' linear maps."""
        return self.layers * sum(math.prod(shape) for shape in self.linear_shapes.values())

    @property
    def head_parameters(self) -> int:
        """Entries of the output layer."""
        return self.hidden * self.vocabulary

    def adapter_parameters(self, rank: int, targets: list[str]) -> int:
        """Entries of the adapters of `rank` on `targets`."""
        shapes = self.linear_shapes
        return self.layers * sum(rank * sum(shapes[name]) for name in targets if name in shapes)


def shapes_of(config: dict[str, Any]) -> Shapes:
    """Read the shapes from a checkpoint's config.json."""
    heads = config["num_attention_heads"]
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    return Shapes(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        attention_width=head_size * heads,
        key_value_width=head_size * (config.get("num_key_value_heads") or heads),
        vocabulary=config["vocab_size"],
        head_size=head_size,
        tied=config.get("tie_word_embeddings", False),
    )


def training_flops(
    shapes: Shapes,
    adapter: int,
    tokens: int,
    label_tokens: int,
    squared_tokens: int,
    recomputed: float,
) -> float:
    """Return the floating-point operations of training steps.

    Args:
        adapter: trained parameters.
        tokens: real tokens that pass through the layers.
        label_tokens: tokens that pass through the output layer.
        squared_tokens: the sum over conversations of length squared, for attention.
        recomputed: share of the layers whose forward pass is repeated in the backward pass.
    """
    layers = (4 + 2 * recomputed) * shapes.layer_parameters * tokens
    adapters = (6 + 2 * recomputed) * adapter * tokens
    head = 4 * shapes.head_parameters * label_tokens
    attention = (3 + recomputed) * 2 * shapes.attention_width * shapes.layers * squared_tokens
    return float(layers + adapters + head + attention)
