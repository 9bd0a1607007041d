"""Choose the length of rows, and how many layers compute their activations again.

Needs no torch, so that the prediction and the training choose alike. Longer rows need fewer passes
a step and keep a GPU busier. Computing activations again costs arithmetic, a third more where all
layers do it, so only as many do as memory asks for.
"""

from dataclasses import dataclass

# share of the memory that may be planned for
USABLE = 0.92
# On a GPU, packed rows are filled up to a multiple of this: few lengths, whose blocks of memory
# fit each other, at 2 % of padding.
MULTIPLE = 256
# The longest row that `auto` plans: measured as long enough for one H200 (docs/training.md).
AUTO_ROW_TOKENS = 8192
# Of the free memory: where the weights in 16 bits take no more, activations fit without NF4.
ROOMY_SHARE = 1 / 3


@dataclass(frozen=True, kw_only=True)
class LayerCosts:
    """What the layers keep for the backward pass."""

    layers: int
    # of one layer, all of its activations
    bytes_a_token: float
    # of one layer, its input only
    input_bytes_a_token: float

    def kept(self, tokens: int, recomputed: int) -> float:
        """Return the bytes that wait for the backward pass, one recomputed layer included."""
        whole = self.layers - recomputed + (recomputed > 0)
        return tokens * (whole * self.bytes_a_token + recomputed * self.input_bytes_a_token)

    def needed(self, tokens: int, recomputed: int) -> float:
        """Return the bytes to plan for: what is kept, plus what one layer keeps at work."""
        return self.kept(tokens, recomputed) + tokens * self.bytes_a_token


def plan_memory(
    costs: LayerCosts, room: float, *, memory: str, shortest: int, longest: int
) -> tuple[int, int]:
    """Return the tokens of a row, and how many layers compute their activations again.

    Args:
        room: bytes for activations.
        memory: "least" = the shortest rows, all layers computed again; "auto" and "most" = the
            longest rows that fit with all activations kept, at most AUTO_ROW_TOKENS with "auto";
            where not even the shortest do, as few layers as possible are computed again.
        shortest, longest: bounds of the length, in tokens.
    """
    if memory == "least":
        return shortest, costs.layers
    top = longest if memory == "most" else min(longest, max(shortest, AUTO_ROW_TOKENS))
    if costs.needed(shortest, 0) <= room:
        fitting = int(room / costs.needed(1, 0)) // MULTIPLE * MULTIPLE
        return max(shortest, min(top, fitting)), 0
    for recomputed in range(1, costs.layers):
        if costs.needed(shortest, recomputed) <= room:
            return shortest, recomputed
    return shortest, costs.layers


def roomy(weight_bytes: float, free_bytes: float) -> bool:
    """Return whether 16-bit weights of this size leave enough memory for training."""
    return weight_bytes <= ROOMY_SHARE * free_bytes
