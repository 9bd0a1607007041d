"""What merged weights should be, from the files of base and adapter: W + scaling B A.

The check of a merge has to see a fault of loading, so it must not load what it compares with in the
same way.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import PreTrainedModel

from lorabench.documents.merge_report import WeightAgreement
from lorabench.errors import MeasurementError
from lorabench.files import read_json
from lorabench.training.adapter.check import matrices
from lorabench.training.adapter.folder import CONFIG, WEIGHTS
from lorabench.training.adapter.targets import PREFIX, is_saved_whole, plain_name, scaling

# Of an update's norm; float32 loses a hundred times less in a sum of a few hundred products.
ALLOWED_OF_UPDATE = 1e-3
# Of the weight's own norm, which float32's rounding goes by.
ALLOWED_OF_WEIGHT = 1e-6


@dataclass(frozen=True, kw_only=True)
class WeightCheck:
    """How merged weights in float32 compare with what the files say they should be."""

    # tensors of the merged model that were compared
    tensors: int
    # those which the adapter changes
    adapted: int
    # largest change of a single weight that the adapter makes
    max_abs_update: float
    # largest distance of a single weight from what it should be
    max_abs_difference: float
    # of a tensor: norm of the distance over the norm of the update, the largest
    difference_to_update: float

    def as_json(self) -> WeightAgreement:
        """Return the fields."""
        return cast(WeightAgreement, asdict(self))


class ExpectedWeights:
    """The weights of base + adapter by name, each computed in float32 when it is asked for."""

    def __init__(self, base: Path, adapter: Path, place: torch.device) -> None:
        self._config: Mapping[str, Any] = read_json(adapter / CONFIG)
        self._tensors = load_file(adapter / WEIGHTS)
        self._modules = matrices(self._tensors)
        self._place = place
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        for path in sorted(base.glob("*.safetensors")):
            file = self._stack.enter_context(safe_open(path, framework="pt"))
            self._files |= dict.fromkeys(file.keys(), file)

    def __enter__(self) -> "ExpectedWeights":
        """Return itself; the base's files are open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the base's files."""
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        """Return whether the base has a tensor of this name."""
        return name in self._files

    def adapted(self) -> set[str]:
        """Return the names of the base's tensors that the adapter changes."""
        whole = {plain_name(name) for name in self._tensors if ".lora_" not in name}
        biases = {
            plain_name(name).replace(".lora_B.bias", ".bias")
            for name in self._tensors
            if name.endswith(".lora_B.bias")
        }
        return {f"{module}.weight" for module in self._modules} | whole | biases

    def pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a weight of the base and what it should be after the merge, both float32."""
        weight = self._files[name].get_tensor(name).to(self._place, torch.float32)
        module, _, kind = name.rpartition(".")
        if kind == "weight" and module in self._modules:
            return weight, self._merged(module, weight)
        if f"{PREFIX}{module}.lora_B.bias" in self._tensors and kind == "bias":
            rank = self._of(module, "lora_A.weight").shape[0]
            factor = scaling(self._config, module, rank)
            return weight, weight + factor * self._of(module, "lora_B.bias")
        for given, tensor in self._tensors.items():
            if ".lora_" not in given and plain_name(given) == name:
                kept = is_saved_whole(self._config, module) or kind == "bias"
                return weight, tensor.to(self._place, torch.float32) if kept else weight
        return weight, weight

    def _of(self, module: str, part: str) -> torch.Tensor:
        return self._tensors[f"{PREFIX}{module}.{part}"].to(self._place, torch.float32)

    def _merged(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """Return W + scaling B A; with DoRA (arXiv 2402.09353) each row has its magnitude."""
        if "embedding_A" in self._modules[module]:
            first = self._of(module, "lora_embedding_A")
            product = (self._of(module, "lora_embedding_B") @ first).T
        else:
            first = self._of(module, "lora_A.weight")
            product = self._of(module, "lora_B.weight") @ first
        merged = weight + scaling(self._config, module, first.shape[0]) * product
        if not self._config.get("use_dora"):
            return merged
        stem = f"{PREFIX}{module}.lora_magnitude_vector"
        vector = self._tensors[stem if stem in self._tensors else f"{stem}.weight"]
        magnitude = vector.to(self._place, torch.float32).flatten()
        # an embedding's directions are its columns
        axis = 0 if "embedding_A" in self._modules[module] else 1
        factor = magnitude / merged.norm(dim=axis)
        return merged * (factor[:, None] if axis == 1 else factor[None, :])


def check_weights(
    merged: PreTrainedModel, base: Path, adapter: Path, place: torch.device
) -> WeightCheck:
    """Compare a model merged in float32 with W + scaling B A from the files of base and adapter.

    Raises:
        MeasurementError: a tensor differs by more than float32's rounding, or one that the adapter
            changes is not in the model.
    """
    count, largest_update, largest, ratio = 0, 0.0, 0.0, 0.0
    with ExpectedWeights(base, adapter, place) as expected:
        waiting = expected.adapted()
        for name, tensor in _unique_tensors(merged):
            if name not in expected:
                continue
            before, after = expected.pair(name)
            update = after - before
            difference = tensor.to(place, torch.float32) - after
            allowed = ALLOWED_OF_UPDATE * update.norm() + ALLOWED_OF_WEIGHT * after.norm()
            if not difference.norm() <= allowed:
                raise MeasurementError(
                    f"{adapter}: merged, {name} is {float(difference.norm()):.3g} away from base +"
                    f" scaling B A of the files (norm; the adapter changes it by"
                    f" {float(update.norm()):.3g}): the adapter was not loaded or merged whole"
                )
            waiting.discard(name)
            count += 1
            largest_update = max(largest_update, float(update.abs().max()))
            largest = max(largest, float(difference.abs().max()))
            if update.norm() > 0:
                ratio = max(ratio, float(difference.norm() / update.norm()))
        if waiting:
            raise MeasurementError(
                f"{adapter}: it changes {sorted(waiting)[0]} and {len(waiting) - 1} more tensors"
                " that the merged model does not have"
            )
        return WeightCheck(
            tensors=count,
            adapted=len(expected.adapted()),
            max_abs_update=largest_update,
            max_abs_difference=largest,
            difference_to_update=ratio,
        )


def check_saved(model: PreTrainedModel, folder: Path) -> None:
    """Check that a folder's files hold the model's weights bit for bit.

    Raises:
        MeasurementError: they do not.
    """
    held = dict(_unique_tensors(model))
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in list(file.keys()):
                if name in held and not torch.equal(file.get_tensor(name), held.pop(name).cpu()):
                    raise MeasurementError(
                        f"{path}: {name} was not saved with its merged values; merge again"
                    )


def _unique_tensors(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield name and values of the model's parameters; a shared one comes once."""
    for name, parameter in model.named_parameters():
        yield name, parameter.detach()
