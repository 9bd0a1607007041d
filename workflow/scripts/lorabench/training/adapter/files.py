"""Write an adapter so that the same training gives the same bytes."""

from pathlib import Path

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from lorabench.files import replacing, write_json
from lorabench.training.adapter.folder import CONFIG, WEIGHTS


def round_adapter(model: PeftModel, dtype: torch.dtype) -> None:
    """Round the trained weights to what a file in `dtype` holds: what is measured is saved."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype).to(parameter.dtype)


def save_adapter(model: PeftModel, folder: Path, base_name: str, dtype: torch.dtype) -> None:
    """Write the adapter's two files to `folder`, each whole or not at all.

    `base_name` is a hub id or the model's name, never a path of this machine.
    """
    tensors = get_peft_model_state_dict(model)
    saved = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in sorted(tensors.items())}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(saved, temporary, metadata={"format": "pt"})
        # the library makes the file private
        temporary.chmod(0o644)
    config = model.peft_config["default"].to_dict() | {
        "base_model_name_or_path": base_name,
        "inference_mode": True,
    }
    # Python's order of sets is not fixed
    plain = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in sorted(config.items())
    }
    write_json(folder / CONFIG, plain)
