"""Draw the next token from logits; the other rows of the batch have no influence."""

import hashlib

import torch
from torch import Tensor
from transformers import GenerationConfig

# transformers' own where a checkpoint sets none; FastChat's MT-Bench answers are made with it
DEFAULT_TOP_K = 50


class SeededSampler:
    """Chooses tokens at a temperature with its own random stream.

    Args:
        temperature: above 0.
        config: the checkpoint's generation config, for top_k and top_p.
        seed: of the run.
        name: of the text to generate (question and turn); only seed and name decide the stream.
    """

    def __init__(self, temperature: float, config: GenerationConfig, seed: int, name: str) -> None:
        self.temperature = temperature
        self.top_k, self.top_p = sampling_limits(config)
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        self.stream = int.from_bytes(digest[:7], "big")
        self._random = torch.Generator().manual_seed(self.stream)

    def __call__(self, logits: Tensor) -> int:
        """Return a token id drawn from logits (vocabulary,)."""
        values, tokens = torch.topk(logits / self.temperature, min(self.top_k, logits.shape[0]))
        cumulative = torch.softmax(values, dim=0).cumsum(0)
        # the fewest likeliest tokens that reach top_p
        kept = int((cumulative < self.top_p).sum()) + 1
        cumulative = cumulative[:kept]
        position = torch.rand((), generator=self._random).item() * float(cumulative[-1])
        return int(tokens[min(int((cumulative <= position).sum()), len(cumulative) - 1)])


def sampling_limits(config: GenerationConfig) -> tuple[int, float]:
    """Return (top_k, top_p) of a generation config."""
    return config.top_k or DEFAULT_TOP_K, config.top_p or 1.0
