"""Check from headers, without torch, that an adapter folder is complete and fits a base model."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json
from lorabench.safetensors_header import read_entries, read_header
from lorabench.training.adapter.folder import CONFIG, WEIGHTS
from lorabench.training.adapter.targets import (
    EMBEDDINGS,
    PREFIX,
    find_limits,
    is_saved_whole,
    is_targeted,
    modules_of,
    plain_name,
    value_of,
)

LORA = re.compile(r"\.lora_(A|B|embedding_A|embedding_B)(?:\.weight)?$")
EXTRA = re.compile(r"\.(lora_magnitude_vector(?:\.weight)?|lora_B\.bias)$")
# Without its sign, a value's bits grow with it, through infinity to what is not a number. By dtype:
# the bits of 2^20, far beyond any trained value (of infinity, where there is no such value).
BEYOND_USE = {
    "F64": ("<u8", 0x4130000000000000),
    "F32": ("<u4", 0x49800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x4980),
}
# of which an error message names at most these
NAMED = 3


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
    """Return what is wrong with the adapter in folder `adapter`, one line for each fault.

    Args:
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        model_folder: checkpoint of the base model; None checks the adapter by itself.
    """
    if not adapter.is_dir():
        return [f"{adapter}: no such adapter folder; expected {CONFIG} and {WEIGHTS} in it"]
    try:
        config = read_json(adapter / CONFIG)
        entries, start = read_entries(adapter / WEIGHTS)
        base = base_shapes(model_folder) if model_folder is not None else None
    except DataError as error:
        return [str(error)]
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        found = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        return [f"{adapter / CONFIG}: peft_type is {found!r}, expected 'LORA'"]
    tensors = {name: entry["shape"] for name, entry in entries.items()}
    path = adapter / WEIGHTS
    try:
        faults = [f"{adapter / CONFIG}: {limit}" for limit in find_limits(config)]
        faults = faults or check_names(path, config, tensors)
        faults = faults or check_ranks(adapter, config, tensors)
        if base is not None and model_folder is not None and not faults:
            faults = (
                check_shapes(path, tensors, base, model_folder)
                or check_tied(adapter, config, base, model_folder)
                or check_complete(path, config, tensors, base)
            )
    except (re.error, TypeError, AttributeError, ValueError, IndexError) as error:
        return [f"{adapter}: {CONFIG} and {WEIGHTS} are no LoRA adapter that can be read ({error})"]
    return faults or check_values(path, entries, start)


def check_names(path: Path, config: dict[str, Any], tensors: dict[str, list[int]]) -> list[str]:
    """Find tensors that PEFT would pass over without a word: their names fit nothing."""
    if not any(LORA.search(name) for name in tensors):
        return [f"{path}: no LoRA tensors (lora_A, lora_B) in it"]
    outside = [name for name in tensors if not name.startswith(PREFIX)]
    if outside:
        fit = "no tensor" if len(outside) == len(tensors) else f"not every tensor ({len(outside)})"
        return [
            f"{path}: {fit} of the file fits the model: expected names that begin with {PREFIX!r},"
            f" as PeftModel.save_pretrained writes them, found {_some(outside)}; such tensors are"
            " not loaded"
        ]
    halves = {PREFIX + module: kinds for module, kinds in matrices(tensors).items()}
    for module, kinds in halves.items():
        if kinds not in ({"A", "B"}, {"embedding_A", "embedding_B"}):
            return [f"{path}: {module} has only lora_{' and lora_'.join(sorted(kinds))}"]
    magnitudes = {EXTRA.sub("", name) for name in tensors if "lora_magnitude_vector" in name}
    if magnitudes != (set(halves) if config.get("use_dora") else set()):
        return [
            f"{path}: use_dora is {bool(config.get('use_dora'))}, but {len(magnitudes)} of"
            f" {len(halves)} modules have a magnitude (lora_magnitude_vector)"
        ]
    return []


def matrices(tensors: Iterable[str]) -> dict[str, set[str]]:
    """Return module of the base -> the kinds of LoRA matrices on it."""
    found: dict[str, set[str]] = {}
    for name in tensors:
        if match := LORA.search(name):
            found.setdefault(name[: match.start()].removeprefix(PREFIX), set()).add(match[1])
    return found


def check_ranks(adapter: Path, config: dict[str, Any], tensors: dict[str, list[int]]) -> list[str]:
    """Compare the tensors' ranks with the configuration's."""
    wrong: dict[tuple[int, int], str] = {}
    for name, shape in tensors.items():
        match = LORA.search(name)
        if match and match[1].endswith("A"):
            module = name[: match.start()].removeprefix(PREFIX)
            expected = value_of(config.get("rank_pattern"), module, config.get("r"))
            other = tensors[name.replace("lora_A", "lora_B").replace("embedding_A", "embedding_B")]
            for rank in (shape[0], other[1]):
                if rank != expected:
                    wrong.setdefault((expected, rank), module)
    return [
        f"{adapter / CONFIG}: r is {expected}, but the tensors have rank {found} ({module})"
        for (expected, found), module in list(wrong.items())[:1]
    ]


def check_shapes(
    path: Path, tensors: dict[str, list[int]], base: dict[str, list[int]], model: Path
) -> list[str]:
    """Compare each tensor with the base weight that it changes; report one misfit a kind."""
    for name, shape in tensors.items():
        match = LORA.search(name)
        module = name[: match.start()].removeprefix(PREFIX) if match else ""
        whole = plain_name(name) if not match else f"{module}.weight"
        weight = base.get(whole)
        if extra := EXTRA.search(name):
            module = name[: extra.start()].removeprefix(PREFIX)
            if extra[1] == "lora_B.bias" and f"{module}.bias" not in base:
                return [
                    f"{path}: {name} adds a bias to {module}, which has none in the base model"
                    f" {model.name}; PEFT cannot merge that (lora_bias)"
                ]
            continue
        if weight is None:
            return [
                f"{path}: {name} changes {module or whole}, which the base model {model.name} does"
                " not have; choose its own base"
            ]
        if match is None:
            if shape != weight:
                return [
                    f"{path}: {name} has shape {shape}, but the base model {model.name} has"
                    f" {weight}; a base whose vocabulary was enlarged for the adapter is not"
                    " supported: save the enlarged base and name it as the base model"
                ]
            continue
        # an embedding is stored as (tokens, width), a linear layer as (out, in)
        sides = {"A": 1, "B": 0, "embedding_A": 0, "embedding_B": 1}
        axis = 1 if match[1].endswith("A") else 0
        if len(weight) != 2 or shape[axis] != weight[sides[match[1]]]:
            return [
                f"{path}: {name} has shape {shape}, but {module} of the base model {model.name} is"
                f" {weight}; the adapter was trained on another model"
            ]
    return []


def check_tied(
    adapter: Path, config: dict[str, Any], base: dict[str, list[int]], model: Path
) -> list[str]:
    """Refuse changes of an embedding that the base shares between input and output."""
    tied = "lm_head.weight" not in base
    if (model / "config.json").is_file():
        tied = tied or bool(read_json(model / "config.json").get("tie_word_embeddings"))
    names = [*modules_of(base), "lm_head"] if tied else []
    touched = [
        name
        for name in names
        if name.rpartition(".")[2] in EMBEDDINGS
        and (is_targeted(config, name) or is_saved_whole(config, name))
    ]
    return [
        f"{adapter / CONFIG}: the adapter changes {name}, whose weights the base model {model.name}"
        " uses for both input and output (tie_word_embeddings): merged into one matrix it would"
        " change both; train without it, or on a base that keeps two"
        for name in touched[:1]
    ]


def check_complete(
    path: Path, config: dict[str, Any], tensors: dict[str, list[int]], base: dict[str, list[int]]
) -> list[str]:
    """Compare the modules that have tensors with those that the configuration names.

    What is missing would stay as initialised, what is too much would be passed over.
    """
    linear = [name for name in modules_of(base) if len(base[f"{name}.weight"]) == 2]
    found = set(matrices(tensors))
    # without target_modules PEFT takes those that it knows for the architecture
    named = config.get("target_modules") is not None
    expected = {name for name in linear if is_targeted(config, name)} if named else found
    whole = {name for name in modules_of(base) if is_saved_whole(config, name)}
    held = {plain_name(name).removesuffix(".weight") for name in tensors if not LORA.search(name)}
    strays = [name for name in tensors if not _is_named(config, name)]
    faults = []
    if strays:
        faults.append(
            f"{path}: {len(strays)} tensors replace weights of the base, which {CONFIG} does not"
            f" name: {_some(strays)}"
        )
    if lost := sorted((expected - found) | (whole - held)):
        faults.append(
            f"{path}: no tensors for {len(lost)} of the {len(expected | whole)} modules that"
            f" {CONFIG} names: {_some(lost)}; they would stay as initialised"
        )
    if extra := sorted(found - expected):
        faults.append(
            f"{path}: tensors for {len(extra)} modules that {CONFIG} does not name:"
            f" {_some(extra)}; they would not be loaded"
        )
    return faults


def _is_named(config: dict[str, Any], name: str) -> bool:
    """Return whether the configuration explains a tensor.

    It is a LoRA matrix or what belongs to it, a module saved whole, a bias, or an embedding that
    PEFT saves with its LoRA matrices.
    """
    if LORA.search(name) or EXTRA.search(name):
        return True
    module, _, kind = plain_name(name).rpartition(".")
    if is_saved_whole(config, module):
        return True
    if kind == "bias":
        bias = config.get("bias", "none")
        return bias == "all" or (bias == "lora_only" and is_targeted(config, module))
    targets = config.get("target_modules") or []
    return module.rpartition(".")[2] in EMBEDDINGS and any(name in targets for name in EMBEDDINGS)


def check_values(path: Path, entries: dict[str, dict[str, Any]], start: int) -> list[str]:
    """Find values beyond use, infinite or not a number, and an adapter that changes nothing.

    Values are read by their bits. In an adapter that changes nothing half of every module is zero,
    as before the first step of a training.
    """
    import numpy

    wrong, zero = [], set()
    for name, entry in entries.items():
        if entry["dtype"] not in BEYOND_USE:
            return [f"{path}: {name} holds {entry['dtype']} values, expected floating point"]
        kind, most = BEYOND_USE[entry["dtype"]]
        first, last = entry["data_offsets"]
        if first == last:
            continue
        width = numpy.dtype(kind).itemsize
        bits = numpy.memmap(
            path, dtype=kind, mode="r", offset=start + first, shape=((last - first) // width,)
        )
        # without the sign's bit
        largest = int((bits << 1).max())
        if largest >= most << 1:
            wrong.append(name)
        if LORA.search(name) and not largest:
            zero.add(LORA.sub("", name))
    if all(LORA.sub("", name) in zero for name in entries):
        return [f"{path}: every lora_B is zero, so the adapter changes nothing; was it trained?"]
    where = f"in {len(wrong)} tensors: {_some(wrong)}"
    return [f"{path}: values beyond 2^20, infinite or not a number {where}"] if wrong else []


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
