"""Put an adapter on a loaded base, and look whether all of it arrived.

PEFT loads what fits and passes over the rest with a warning at most, so that a renamed file gives
the base's own answers. Here the tensors in the model are compared with those in the file.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from lorabench.errors import DataError

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "adapter_model.safetensors"
# of which an error message names at most these
NAMED = 3


def attach_adapter(base: PreTrainedModel, folder: Path) -> "PeftModel":
    """Return the base with the adapter in `folder`, unmerged, in the base's dtype.

    Raises:
        DataError: a tensor of the file is not in the model with the same values, or one of the
            model's is not in the file and so as initialised.
    """
    # two seconds that base and merged need not wait
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # peft asks for a property that transformers has renamed
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            model = PeftModel.from_pretrained(
                base, folder, autocast_adapter_dtype=False, local_files_only=True
            )
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: PEFT cannot put this adapter on the base: {reason}") from error
    check_attached(model, folder / WEIGHTS)
    return model


def check_attached(model: "PeftModel", file: Path) -> None:
    """Compare the adapter's tensors in a model with those in its file.

    Raises:
        DataError: see `attach_adapter`.
    """
    from peft.utils import get_peft_model_state_dict

    held = get_peft_model_state_dict(model, save_embedding_layers=False)
    given = {_name(name): tensor for name, tensor in load_file(file).items()}
    # an embedding's own weights, which PEFT saves with its LoRA matrices
    whole = model.state_dict()
    held |= {name: whole[name] for name in given.keys() - held.keys() if name in whole}
    parts = {
        "not loaded, since nothing in the model has their names": given.keys() - held.keys(),
        "not in the file, so as initialised": held.keys() - given.keys(),
        "loaded with other values": {
            name for name in given.keys() & held.keys() if not _same(given[name], held[name])
        },
    }
    for what, names in parts.items():
        if names:
            some = ", ".join(sorted(names)[:NAMED])
            raise DataError(f"{file}: {len(names)} tensors {what}: {some}")


def _name(name: str) -> str:
    """Return a tensor's name as PEFT writes it today; older versions end DoRA's with .weight."""
    if name.endswith(".lora_magnitude_vector.weight"):
        return name.removesuffix(".weight")
    return name


def _same(given: torch.Tensor, held: torch.Tensor) -> bool:
    """Return whether a loaded tensor equals the file's, rounded to the loaded tensor's dtype."""
    return given.shape == held.shape and torch.equal(given.to(held.dtype), held.detach().cpu())
