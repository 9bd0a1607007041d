"""Check, from headers alone and without torch, that an adapter folder is whole and fits a base
model."""

from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json
from lorabench.safetensors_header import read_header
from lorabench.training.adapter.folder import CONFIG, WEIGHTS

PREFIX = "base_model.model."


def base_shapes(folder: Path) -> dict[str, list[int]]:
    """Return name -> shape of all tensors of a checkpoint folder.

    Raises:
        DataError: the folder has no safetensors files.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no *.safetensors files; expected a base model's checkpoint")
    return {name: shape for file in files for name, shape in read_header(file).items()}


def check_adapter(adapter: Path, model_folder: Path | None) -> list[str]:
    """Return what is wrong with the adapter in folder `adapter`, one line each; nothing when it can
    be used.

    Args:
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        model_folder: checkpoint of the base model; None checks the adapter by itself.
    """
    if not adapter.is_dir():
        return [f"{adapter}: no such adapter folder; expected {CONFIG} and {WEIGHTS} in it"]
    try:
        config = read_json(adapter / CONFIG)
        tensors = read_header(adapter / WEIGHTS)
        base = base_shapes(model_folder) if model_folder is not None else None
    except DataError as error:
        return [str(error)]
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        found = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        return [f"{adapter / CONFIG}: peft_type is {found!r}, expected 'LORA'"]
    faults = check_targets(adapter, config, tensors)
    if base is not None and not faults:
        faults += check_shapes(adapter / WEIGHTS, tensors, base, model_folder or Path())
    return faults


def check_targets(
    adapter: Path, config: dict[str, Any], tensors: dict[str, list[int]]
) -> list[str]:
    """Compare the tensors with the modules and the rank that the adapter's configuration names."""
    matrices = [name for name in tensors if ".lora_A." in name or ".lora_B." in name]
    if not matrices:
        return [f"{adapter / WEIGHTS}: no LoRA tensors (lora_A, lora_B) in it"]
    faults = []
    modules = {name.split(".lora_")[0].rpartition(".")[2] for name in matrices}
    targets = config.get("target_modules")
    if isinstance(targets, list):
        for target in sorted(set(targets) - modules):
            if not any(name.split(".lora_")[0].endswith(target) for name in matrices):
                faults.append(
                    f"{adapter / CONFIG}: target module {target!r} has no tensors in {WEIGHTS}"
                )
    fixed = config.get("rank_pattern") in (None, {})
    ranks = sorted({tensors[name][0] for name in matrices if ".lora_A." in name})
    if fixed and ranks and ranks != [config.get("r")]:
        faults.append(
            f"{adapter / CONFIG}: r is {config.get('r')}, but the tensors have rank"
            f" {', '.join(map(str, ranks))}"
        )
    return faults


def check_shapes(
    path: Path, tensors: dict[str, list[int]], base: dict[str, list[int]], model: Path
) -> list[str]:
    """Compare each pair of LoRA matrices with the base weight that it changes; report the first
    misfit of each kind."""
    for name, shape in tensors.items():
        module, _, kind = name.removeprefix(PREFIX).partition(".lora_")
        if not kind.startswith(("A.", "B.")):
            continue
        weight = base.get(f"{module}.weight")
        if weight is None:
            return [
                f"{path}: {name} changes {module}, which the base model {model.name} does not have;"
                " choose its own base"
            ]
        expected = weight[1] if kind.startswith("A.") else weight[0]
        found = shape[1] if kind.startswith("A.") else shape[0]
        if found != expected:
            return [
                f"{path}: {name} has shape {shape}, but {module} of the base model {model.name} is"
                f" {weight}; the adapter was trained on another model"
            ]
    return []
