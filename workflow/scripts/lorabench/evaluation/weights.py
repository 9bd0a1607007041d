"""The weights of a variant, their name in the answer store, and what stored answers depend on."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from lorabench.evaluation.vllm_support import vllm_version
from lorabench.files import sha256_file
from lorabench.llama import device, load_tokenizer, resolve_dtype
from lorabench.variants import load_variant

# importing peft takes 2 s, and base and merged do without it
if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A variant, given by the small files that describe the weights next to them."""

    # base | lora | merged
    variant: str
    # the base model's source.json, which holds the hashes of its files
    source: Path
    # the adapter's fingerprint.json; for lora
    adapter: Path | None
    # merge_report.json; for merged
    merged: Path | None

    def fingerprint(self) -> str:
        """Return a name for the weights: the hashes of the files that describe them."""
        files = {"base": self.source, "adapter": self.adapter, "merged": self.merged}
        return " ".join(f"{name}:{sha256_file(file)[:16]}" for name, file in files.items() if file)

    @property
    def folder(self) -> Path:
        """The checkpoint folder: the merged one, or that of the base."""
        return (
            self.merged.parent if self.variant == "merged" and self.merged else self.source.parent
        )


class Loader:
    """Loads the variants of a job when they are needed.

    The adapter goes onto the base that is loaded already, so that both take one reading of the
    weights. The base cannot be used after that.

    Args:
        dtype: the config's word.
    """

    def __init__(self, dtype: str) -> None:
        # of a checkpoint folder
        self.tokenizer = cache(load_tokenizer)
        self._dtype = dtype
        self._variant = ""
        self._model: Any = None

    def __call__(self, weights: Weights) -> "PreTrainedModel | PeftModel":
        """Return the model of a variant; the one that was returned last is kept."""
        if weights.variant != self._variant:
            on = self._model if (self._variant, weights.variant) == ("base", "lora") else None
            self._model = load_variant(
                weights.variant,
                base=weights.source.parent if on is None else on,
                adapter=weights.adapter.parent if weights.adapter else None,
                merged=weights.merged.parent if weights.merged else None,
                dtype=self._dtype,
            )
            self._variant = weights.variant
        model: PreTrainedModel | PeftModel = self._model
        return model


def load_skeleton(weights: Weights) -> PreTrainedModel:
    """Return the variant's model without weights: its configuration, and where its texts end."""
    config = AutoConfig.from_pretrained(weights.folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    if (weights.folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(
            weights.folder, local_files_only=True
        )
    return model.eval()


def dtype_name(dtype: str) -> str:
    """Return what the config's `dtype` means on this machine: bfloat16 or float32."""
    return str(resolve_dtype(dtype)).removeprefix("torch.")


def answer_identity(
    weights: Weights, dtype: str, engine: str, more: dict[str, Any]
) -> dict[str, Any]:
    """Return the identity under which answers are stored.

    `more` is what a generation itself depends on.

    Raises:
        PrerequisiteError: the engine is not installed.
    """
    return {
        "model": weights.fingerprint(),
        "dtype": dtype_name(dtype),
        # kernels of a GPU and of a CPU round differently
        "device": device().type,
        "versions": library_versions(engine),
        **more,
    }


def library_versions(engine: str) -> dict[str, str]:
    """Return the versions of the libraries that answers depend on.

    Raises:
        PrerequisiteError: the engine is not installed.
    """
    versions = {name: version(name) for name in ("torch", "transformers", "lm_eval")}
    return versions | ({"vllm": vllm_version()} if engine == "vllm" else {"peft": version("peft")})
