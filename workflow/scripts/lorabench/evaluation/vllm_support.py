"""Which vLLM is installed and which adapters it serves, without loading it."""

from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions, version
from typing import Any

from lorabench.errors import PrerequisiteError

# that vLLM 0.33 has kernels for: MaxLoRARanks in vllm/config/lora.py
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Keys of adapter_config.json that vLLM follows (PEFTHelper in vllm/lora/peft_helper.py), or that
# change no output of a finished adapter. Any other key that is set is refused: vLLM ignores the
# ones that it does not know.
SERVED_KEYS = {
    *("peft_type", "peft_version", "task_type", "auto_mapping", "inference_mode"),
    *("base_model_name_or_path", "revision"),
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "lora_dropout"),
    # the tensors show these
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    # without effect unless another key is set
    *("megatron_core", "qalora_group_size"),
}
UNSET: tuple[Any, ...] = (None, False, "none", [], {})
# of init_lora_weights: others change the base's weights
PLAIN_STARTS = (True, False, "gaussian", "orthogonal")


def vllm_version() -> str:
    """Return the version of the installed vLLM, whose CPU builds have other names.

    Raises:
        PrerequisiteError: vLLM is not installed.
    """
    distributions = packages_distributions().get("vllm")
    if not distributions:
        raise PrerequisiteError(
            "engine: vllm, and vLLM is not installed where Snakemake is: run snakemake with --sdm"
            " conda, which builds envs/vllm.yaml, or set engine: transformers"
        )
    return version(distributions[0])


def largest_rank(config: Mapping[str, Any]) -> int:
    """Return the largest rank of an adapter's modules; `config` is its adapter_config.json."""
    return max([config["r"], *(config.get("rank_pattern") or {}).values()])


def why_not_served(config: Mapping[str, Any], tensors: Iterable[str]) -> str | None:
    """Return why vLLM would not give an unmerged adapter's own answers, else None.

    Args:
        config: adapter_config.json.
        tensors: names of the adapter's tensors; vLLM passes over some that are not LoRA matrices.
    """
    reasons = [
        f"{key}: {value}"
        for key, value in sorted(config.items())
        if (
            value not in PLAIN_STARTS
            if key == "init_lora_weights"
            else key not in SERVED_KEYS and value not in UNSET
        )
    ]
    if largest_rank(config) > RANKS[-1]:
        reasons.append(f"rank {largest_rank(config)} (at most {RANKS[-1]})")
    other = [
        name
        for name in tensors
        if not name.endswith((".lora_A.weight", ".lora_B.weight")) or ".lm_head." in name
    ]
    if other:
        reasons.append(
            f"the tensor {other[0]}" + (f" and {len(other) - 1} others" if len(other) > 1 else "")
        )
    if not reasons:
        return None
    return (
        f"vLLM does not serve this adapter unmerged ({', '.join(reasons)}): set engine:"
        " transformers, or take the variant lora out of score_benchmark.variants"
    )


def why_not_in_dtype(dtype: str, gpus: int) -> str | None:
    """Return why vLLM's adapter kernels refuse a dtype, else None.

    Args:
        dtype: bfloat16 or float32; auto is decided on the machine of the job, and passes here.
        gpus: 0 on a CPU, where both are served.
    """
    if gpus and dtype == "float32":
        return (
            "vLLM serves an unmerged adapter on a GPU in bfloat16 only: set dtype: bfloat16, or"
            " engine: transformers"
        )
    return None
