"""Merge an adapter into its base and measure how far the result is from the two kept apart."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.adapter_loading import attach_adapter
from lorabench.documents.merge_report import LogitAgreement
from lorabench.end_tokens import turn_end_id
from lorabench.errors import MeasurementError
from lorabench.files import read_json, write_json
from lorabench.llama import device, load_base

# Files of the base that the merged checkpoint keeps unchanged.
CARRIED = (
    "generation_config.json",
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True, kw_only=True)
class LogitDifference:
    """How the logits of two models differ on the same prompts."""

    largest: float
    # of absolute differences over positions and vocabulary
    mean: float
    # share of positions at which both prefer the same token
    greedy_agreement: float
    positions: int

    def as_json(self) -> LogitAgreement:
        """Return the fields with names that say what they are."""
        return {
            "max_abs_logit_difference": self.largest,
            "mean_abs_logit_difference": self.mean,
            "greedy_agreement": self.greedy_agreement,
            "positions": self.positions,
        }


@torch.no_grad()
def logits(model: torch.nn.Module, prompts: Sequence[list[int]]) -> list[torch.Tensor]:
    """Return the logits of each prompt as float32 (length, vocabulary) on the CPU."""
    place = next(model.parameters()).device
    return [
        model(input_ids=torch.tensor([ids], device=place)).logits[0].float().cpu()
        for ids in prompts
    ]


def compare_logits(
    first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]
) -> LogitDifference:
    """Compare two models' logits of the same prompts."""
    differences = [(one - other).abs() for one, other in zip(first, second, strict=True)]
    agree = sum(
        int((one.argmax(1) == other.argmax(1)).sum())
        for one, other in zip(first, second, strict=True)
    )
    positions = sum(len(one) for one in first)
    return LogitDifference(
        largest=max(float(difference.max()) for difference in differences),
        mean=sum(float(difference.double().sum()) for difference in differences)
        / sum(map(torch.numel, differences)),
        greedy_agreement=agree / positions,
        positions=positions,
    )


def merge_device(parameters: int) -> torch.device:
    """Return the GPU if 4/3 of the float32 weights fit into its free memory, else the CPU."""
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > parameters * 4 * 4 / 3:
        return device()
    return torch.device("cpu")


def load(folder: Path, dtype: torch.dtype, place: torch.device) -> PreTrainedModel:
    """Load a checkpoint for comparison, in evaluation mode."""
    return load_base(folder, dtype, place=place).eval()


def attach(base: PreTrainedModel, adapter: Path, dtype: torch.dtype) -> PeftModel:
    """Put an adapter on a base, its weights in `dtype`."""
    return attach_adapter(base, adapter).to(dtype).eval()


def merge(model: PeftModel) -> PreTrainedModel:
    """Add the adapter to the base's weights, in their precision; `model` cannot be used afterwards.

    Raises:
        MeasurementError: a merged weight is not a number, or the library refuses to merge.
    """
    try:
        merged: Any = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise MeasurementError(f"the adapter cannot be merged: {error}") from None
    return merged


def save_merged(
    model: PreTrainedModel, dtype: torch.dtype, folder: Path, base: Path, max_shard_size: str
) -> None:
    """Cast the weights once (not the buffers) and write the checkpoint in shards."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    for pattern in CARRIED:
        for path in base.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    for path in folder.iterdir():
        # some are written for their owner only
        path.chmod(0o644)


def add_turn_end(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add the chat template's end of turn to the end tokens of the generation config.

    Whoever serves the checkpoint then stops where this pipeline does.
    """
    path, end = folder / "generation_config.json", turn_end_id(tokenizer)
    config = read_json(path) if path.is_file() else {}
    known = config.get("eos_token_id")
    several = known if isinstance(known, list) else [known] if known is not None else []
    if end is not None and end not in several:
        write_json(path, config | {"eos_token_id": [*several, end]})
