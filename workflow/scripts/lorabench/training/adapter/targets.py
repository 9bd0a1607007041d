"""Which tensors an adapter's configuration means: the rules of PEFT's LoRA (0.21), without torch.

Names and shapes are enough.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lorabench.section import MOST

PREFIX = "base_model.model."
# Modules whose weights many models share between input and output.
EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "lm_head", "embed_out")
# Ways to start training that change the base's weights, too; what is saved then fits no plain base.
CHANGED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")
# Keys of the configuration that mean more than B A added to a weight -> what they are.
UNKNOWN_PARTS = {
    "trainable_token_indices": "single rows of the embedding",
    "target_parameters": "parameters that are no module's weight",
    "layer_replication": "layers that the base does not have",
    "alora_invocation_tokens": "an adapter that acts after some tokens only (aLoRA)",
    "megatron_config": "layers of Megatron",
    "use_qalora": "a quantisation-aware adapter (QALoRA)",
    "fan_in_fan_out": "layers whose weights are stored transposed (Conv1D)",
    "arrow_config": "a router over several adapters (Arrow)",
    "use_bdlora": "block-diagonal matrices (BD-LoRA)",
    "monteclora_config": "sampled weights (MonteCLoRA)",
    "velora_config": "compressed activations (VeLoRA)",
    "kasa_config": "singular values of its own (KaSA)",
}


def find_limits(config: Mapping[str, Any]) -> list[str]:
    """Return one line for each part of a configuration that cannot be merged and checked here."""
    faults = [
        f"{key}: it has {what}, which this pipeline cannot merge and check; use an adapter without"
        for key, what in UNKNOWN_PARTS.items()
        if config.get(key)
    ]
    ranks, factors = (
        [config.get(key, 8), *config.get(pattern, {}).values()]
        for key, pattern in (("r", "rank_pattern"), ("lora_alpha", "alpha_pattern"))
    )
    if not all(type(rank) is int and rank > 0 for rank in ranks):
        faults.append(f"r and rank_pattern: expected whole numbers from 1, found {ranks}")
    if not all(type(value) in (int, float) and abs(value) <= MOST for value in factors):
        faults.append(
            f"lora_alpha and alpha_pattern: expected numbers up to {MOST:,}, found {factors}"
        )
    elif not any(factors):
        faults.append("lora_alpha is 0, so the adapter changes nothing")
    dropout = config.get("lora_dropout", 0)
    if type(dropout) not in (int, float) or not 0 <= dropout <= 1:
        faults.append(f"lora_dropout: expected a number from 0 to 1, found {dropout!r}")
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        faults.append(f"task_type is {config['task_type']!r}, expected 'CAUSAL_LM'")
    if not isinstance(config.get("modules_to_save") or [], list):
        faults.append(f"modules_to_save: expected a list, found {config['modules_to_save']!r}")
    if not isinstance(config.get("base_model_name_or_path"), str | None):
        faults.append("base_model_name_or_path: expected the name or the folder of a model")
    if config.get("bias", "none") not in ("none", "all", "lora_only"):
        faults.append(f"bias: expected none, all or lora_only, found {config['bias']!r}")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGED_BASES):
        faults.append(
            f"init_lora_weights is {start!r}, which changed the base's weights when training began:"
            " save it as a plain LoRA (save_pretrained with"
            " path_initial_model_for_weight_conversion) and use that"
        )
    return faults


def is_targeted(config: Mapping[str, Any], module: str) -> bool:
    """Return whether the configuration puts LoRA matrices on a module of the base.

    `module` is its path, e.g. model.layers.0.self_attn.q_proj.
    """
    if _named(config.get("exclude_modules"), module) or is_saved_whole(config, module):
        return False
    targets = config.get("target_modules")
    if targets == "all-linear":
        return module.rpartition(".")[2] not in EMBEDDINGS
    if not _named(targets, module):
        return False
    layers = config.get("layers_to_transform")
    if isinstance(targets, str) or layers is None or layers == []:
        return True
    found = _layer(config.get("layers_pattern"), module)
    return found is not None and found in (layers if isinstance(layers, list) else [layers])


def is_saved_whole(config: Mapping[str, Any], module: str) -> bool:
    """Return whether the adapter holds a module's weights whole (modules_to_save)."""
    return any(
        re.match(rf"(^|.*\.){name}($|\..*)", module) for name in config.get("modules_to_save") or ()
    )


def _named(names: Any, module: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names or ())


def _layer(patterns: Any, module: str) -> int | None:
    """Return the index of the layer that a module is in, the first number of its path."""
    if not patterns:
        found = re.match(r".*?\.[^.]*\.(\d+)\.", module)
        return int(found[1]) if found else None
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if found := re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", module):
            return int(found[1])
    return None


def value_of(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """Return a module's rank or alpha: that of the first fitting pattern, else the default."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Return the factor of B A: alpha / r, or alpha / sqrt(r) with rsLoRA.

    Sources: arXiv 2106.09685 and 2312.03732.
    """
    alpha = float(value_of(config.get("alpha_pattern"), module, config.get("lora_alpha", 8)))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def modules_of(weights: Iterable[str]) -> list[str]:
    """Return the modules whose weights have these names."""
    return [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]


def plain_name(name: str) -> str:
    """Return the name of a base's tensor as its checkpoint has it, from that in an adapter."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".").replace(".modules_to_save.", ".")
