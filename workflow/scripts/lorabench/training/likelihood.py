"""Exact negative log-likelihood of labelled tokens, each token with the same weight.

A trainer's `eval_loss` is a mean of batch means and moves with the batch size; this sum does not.
"""

from collections.abc import Sequence

import torch
from tqdm import tqdm

from lorabench.training.encode import Encoded
from lorabench.training.micro_batches import Rows, best_fit_decreasing, packed_row
from lorabench.training.processes import is_first, over_processes, share


@torch.no_grad()
def likelihood(
    model: torch.nn.Module,
    conversations: Sequence[Encoded],
    rows: Rows,
    attention: str,
    device: torch.device,
    description: str,
) -> list[float]:
    """Return the loss of each conversation in nats, summed over its labelled tokens.

    The model has the loss forward of `install_label_loss`; its training mode is restored.
    """
    training = model.training
    model.eval()
    bins = best_fit_decreasing([len(item.input_ids) for item in conversations], rows.capacity)
    tokens = sum(len(item.input_ids) for item in conversations)
    nll = [0.0] * len(conversations)
    with tqdm(
        total=tokens, desc=description, unit="tok", mininterval=1, disable=not is_first()
    ) as progress:
        for members, counts in share(bins):
            batch = packed_row([conversations[index] for index in members], rows)
            found = model(**batch.model_inputs(attention, device))["nll"].double().cpu()
            parts = found.split([conversations[index].label_count for index in members])
            for index, part in zip(members, parts, strict=True):
                nll[index] = counts * part.sum().item()
            progress.update(batch.tokens)
    model.train(training)
    return over_processes(nll, device)
