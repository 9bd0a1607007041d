"""Loss of the labelled tokens, without the logits of all positions at once.

The output layer is frozen, so its only gradient is the one towards the hidden states. It is
computed during the forward pass, a chunk of positions at a time, and the chunk's logits are dropped
at once: memory is chunk x vocabulary, and nothing is computed twice.
"""

from typing import Any

import torch
from torch.nn.functional import log_softmax
from transformers import PreTrainedModel

from lorabench.training.checks import check_output_layer

# logits at a time, 134 MB in float32: 261 positions of a vocabulary of 128,256
CHUNK = 2**25


class LabelLoss(torch.autograd.Function):
    """Sum of -log p(target) over positions; only the hidden states get a gradient."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Return the float32 sum.

        Shapes: hidden (labels, size), weight (vocabulary, size), targets (labels,).
        """
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        with torch.autocast(hidden.device.type, enabled=False):
            step = max(1, CHUNK // len(weight))
            for start in range(0, len(hidden), step):
                part = slice(start, start + step)
                # (chunk, vocabulary)
                logits = hidden[part].to(weight.dtype) @ weight.T
                logs = log_softmax(logits, 1, dtype=torch.float32)
                chosen = targets[part].unsqueeze(1)
                at_targets = logs.gather(1, chosen)
                total -= at_targets.sum()
                if gradient is not None:
                    probabilities = logs.exp_().scatter_(1, chosen, at_targets.exp() - 1.0)
                    gradient[part] = (probabilities.to(weight.dtype) @ weight).to(hidden.dtype)
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, output_gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # type: ignore[override]
        """Scale the gradient that the forward pass left."""
        return ctx.gradient * output_gradient.to(ctx.gradient.dtype), None, None


def label_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return -log p(target) of each position, (labels,) float32; arguments as for `LabelLoss`."""
    found = torch.empty(len(targets), device=hidden.device)
    step = max(1, CHUNK // len(weight))
    for start in range(0, len(hidden), step):
        part = slice(start, start + step)
        logs = log_softmax(float32_logits(hidden[part].float(), weight), 1)
        found[part] = -logs.gather(1, targets[part].unsqueeze(1)).squeeze(1)
    return found


def float32_logits(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return hidden @ weight.T in float32.

    A part of a 16-bit weight at a time: a float32 copy of the whole is 2.1 GB for Llama 3 8B, more
    than training in the least memory keeps of its layers.
    """
    if weight.dtype == torch.float32:
        return hidden @ weight.T
    parts = weight.split(max(1, CHUNK // weight.shape[1]))
    return torch.cat([hidden @ part.float().T for part in parts], 1)


def install_label_loss(
    model: PreTrainedModel,
    dtype: torch.dtype,
    neftune_alpha: float | None = None,
    compiled: bool = False,
) -> None:
    """Make the causal model's forward return the summed loss of a micro-batch.

    The new forward takes what `MicroBatch.model_inputs` returns and gives a dict with `loss`, the
    float32 sum over labels; in evaluation mode also `nll`, the loss of each label, from logits
    computed in float32. With `dtype` bfloat16 the layers run under autocast, so that float32
    adapters multiply in bfloat16. With `compiled` layers the embeddings ask for a gradient, which
    nothing reads: the first layer is then compiled with all others instead of once more.
    """
    check_output_layer(model)
    decoder, head = model.get_decoder(), model.get_output_embeddings()

    def forward(
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        predictors: torch.Tensor,
        targets: torch.Tensor,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        # peft passes unset arguments on
        given = {name: value for name, value in kwargs.items() if value is not None}
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            embeddings = model.get_input_embeddings()(input_ids)
            if model.training and neftune_alpha:
                embeddings = embeddings + noise(embeddings, position_ids, neftune_alpha)
            if model.training and compiled:
                embeddings.requires_grad_()
            output = decoder(
                inputs_embeds=embeddings, position_ids=position_ids, use_cache=False, **given
            )
        hidden = output.last_hidden_state.flatten(0, 1)[predictors]
        if model.training:
            return {"loss": LabelLoss.apply(hidden, head.weight, targets)}
        nll = label_nll(hidden, head.weight, targets)
        return {"loss": nll.sum(), "nll": nll}

    model.forward = forward


def noise(embeddings: torch.Tensor, position_ids: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return NEFTune's noise (arXiv 2310.05914): uniform in +-alpha / sqrt(length x size).

    The length is each conversation's: `position_ids` (rows, length) begin at 0 in each.
    """
    starts = (position_ids == 0).flatten()
    # which conversation each token belongs to
    document = starts.cumsum(0) - 1
    lengths = document.bincount()[document].view(position_ids.shape)
    scale = alpha / (lengths.unsqueeze(2) * embeddings.shape[2]).sqrt()
    return torch.empty_like(embeddings).uniform_(-1, 1) * scale.to(embeddings.dtype)
