"""What training refuses, each with one line that says why.

A check returns nothing and changes nothing, so a result that is there does not depend on it: this
module enters no hash. What a value decides is in the modules that compute.
"""

from collections.abc import Iterable, Sized
from pathlib import Path
from typing import NoReturn

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.errors import ConfigurationError, DataError, PrerequisiteError


def refuse_rewriting(where: str) -> NoReturn:
    """Refuse a chat template whose earlier rendering is not the beginning of a later one.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"{where}: the tokenizer's chat template rewrites earlier turns, so the assistant's text"
        " cannot be found in it; expected a template that only appends (Llama 3, ChatML)"
    )


def refuse_open_turn(where: str) -> NoReturn:
    """Refuse a chat template that writes no end-of-turn token.

    Raises:
        DataError: always.
    """
    raise DataError(f"{where}: the chat template closes no assistant turn with a control token")


def check_decodes(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], text: str, where: str
) -> None:
    """Check that tokens stand for the whole of a text.

    Raises:
        DataError: they decode to another one.
    """
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    if tokenizer.decode(ids, **options) != text:
        raise DataError(
            f"{where}: the tokens do not decode to the rendered conversation; the tokenizer loses"
            " text"
        )


def check_not_empty(conversations: Sized, path: Path, max_length: int) -> None:
    """Check that there is something to learn in a file.

    Raises:
        DataError: no conversation has labels.
    """
    if not conversations:
        raise DataError(
            f"{path}: no conversation with an assistant's text within {max_length} tokens; nothing"
            " to learn"
        )


def check_targets(model: PreTrainedModel, targets: Iterable[str]) -> None:
    """Check that the base has the layers that should get an adapter.

    Raises:
        ConfigurationError: it has no linear layer of the name of a target module.
    """
    present = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if missing := sorted(set(targets) - present):
        raise ConfigurationError(
            f"train_adapter.target_modules: the base model has no linear layer {missing[0]!r}; "
            f"it has {', '.join(sorted(present - {'lm_head'}))}"
        )


def check_output_layer(model: PreTrainedModel) -> None:
    """Check that the loss computes what the model's own output layer would.

    Raises:
        ConfigurationError: the output layer is not a plain linear map.
    """
    head = model.get_output_embeddings()
    scales = ("final_logit_softcapping", "logit_scale", "logits_scaling")
    scaled = any(hasattr(model.config, key) for key in scales)
    if not isinstance(head, torch.nn.Linear) or head.bias is not None or scaled:
        raise ConfigurationError(
            f"{type(model).__name__}: training expects an output layer that is linear without bias"
            " or scaling, as in the Llama architecture; choose such a base model"
        )


def check_room(layer: float, room: float) -> None:
    """Refuse a training that a CPU's memory cannot hold; a GPU reports a lack of memory itself.

    Args:
        layer: bytes that one layer keeps of a row.
        room: bytes for activations.

    Raises:
        PrerequisiteError: activations do not fit even if they are computed again.
    """
    if not torch.cuda.is_available() and layer > room:
        raise PrerequisiteError(
            f"training needs {layer / 1e9:.1f} GB more for the activations of one layer, and this"
            f" machine has about {max(0.0, room) / 1e9:.1f} GB left; in train_adapter, lower"
            " max_seq_length or lora_r, or set use_4bit: true"
        )


def refuse_large_conversation(tokens: int) -> NoReturn:
    """End a training whose memory does not hold one conversation of `tokens` by itself.

    Raises:
        PrerequisiteError: always.
    """
    raise PrerequisiteError(
        "out of memory with a micro-batch that cannot be halved further (longest conversation"
        f" {tokens} tokens): lower train_adapter.max_seq_length or lora_r, or set use_4bit: true"
    )


def refuse_to_go_on(change: str) -> NoReturn:
    """End a process whose memory ran out while others wait for it; `change` is made next time.

    Raises:
        PrerequisiteError: always.
    """
    raise PrerequisiteError(
        "out of memory in one of several processes: run the same command again, it goes on from"
        f" the last checkpoint ({change}, same effective batch)"
    )
