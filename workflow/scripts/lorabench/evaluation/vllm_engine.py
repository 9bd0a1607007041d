"""Generation by vLLM in place of our own passes: for GPUs, in an environment of its own (envs/vllm.yaml).

It takes the same requests, prompts as token ids (so no second begin-of-text), and ends a text where we do. It serves
generation only: vLLM's prompt log-probabilities skip its prefix cache and are rounded to the model's dtype.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from lorabench.errors import ConfigurationError, PrerequisiteError
from lorabench.evaluation.sampling import SeededSampler
from lorabench.evaluation.shared_prefix_model import Generation, GenerationRequest
from lorabench.evaluation.weights import Weights, dtype_name
from lorabench.files import read_json

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM 0.33 has kernels for: MaxLoRARanks in vllm/config/lora.py
CHUNK = 256  # requests between two moments at which finished answers are stored


def load_skeleton(weights: Weights) -> PreTrainedModel:
    """Return the variant's model without weights: its configuration, and where its texts end."""
    config = AutoConfig.from_pretrained(weights.folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    if (weights.folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(weights.folder, local_files_only=True)
    return model.eval()


def lora_arguments(adapter_config: dict[str, Any]) -> dict[str, Any]:
    """Return what vLLM needs to know to serve an adapter unmerged; its own default takes ranks up to 16 only.

    Raises:
        ConfigurationError: vLLM cannot serve such an adapter.
    """
    rank = adapter_config["r"]
    if adapter_config.get("use_dora") or rank > RANKS[-1]:
        raise ConfigurationError(
            f"vLLM serves no {'DoRA adapter' if adapter_config.get('use_dora') else f'adapter of rank {rank}'}: "
            "set engine: transformers, or take the variant lora out of score_benchmark.variants"
        )
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": next(size for size in RANKS if size >= rank)}


def check_adapter_dtype(dtype: str, gpus: int) -> None:
    """Refuse what vLLM's adapter kernels on GPUs assert against, which would end the job after loading.

    Raises:
        ConfigurationError: an unmerged adapter in float32 on a GPU.
    """
    if gpus and dtype == "float32":
        raise ConfigurationError(
            "vLLM serves an unmerged adapter on a GPU in bfloat16 only: set dtype: bfloat16, or engine: transformers"
        )


def parallel_size(heads: int, gpus: int) -> int:
    """Return over how many GPUs a model is spread: as many as there are and its attention heads divide over."""
    return max(size for size in range(1, max(1, gpus) + 1) if heads % size == 0)


def sampling_arguments(request: GenerationRequest) -> dict[str, Any]:
    """Return vLLM's SamplingParams of a request, as keywords."""
    arguments = {
        "max_tokens": request.max_new_tokens,
        "stop_token_ids": sorted(request.is_complete.end_ids),
        "stop": request.is_complete.strings,
        "skip_special_tokens": False,  # a stop string may be one
        "temperature": 0.0,
    }
    if isinstance(request.choose, SeededSampler):
        sampler = request.choose
        arguments |= {"temperature": sampler.temperature, "seed": sampler.stream}
        arguments |= {"top_k": sampler.top_k, "top_p": sampler.top_p}
    return arguments


class VllmEngine:
    """vLLM with one variant loaded, on all GPUs that the job sees.

    Args:
        weights: the variant; an adapter stays unmerged.
        dtype: the config's word.
    """

    def __init__(self, weights: Weights, dtype: str) -> None:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # read at import; vLLM reports to its makers otherwise
        gpus = torch.cuda.device_count()
        try:
            from vllm import LLM, SamplingParams
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise PrerequisiteError(
                f"engine: vllm needs the environment envs/vllm.yaml ({error}): run snakemake with --sdm conda, or set "
                "engine: transformers"
            ) from None
        self._parameters = SamplingParams
        self._adapter = None
        more: dict[str, Any] = {}
        if weights.variant == "lora" and weights.adapter is not None:
            check_adapter_dtype(dtype_name(dtype), gpus)
            folder = weights.adapter.parent
            more = lora_arguments(read_json(folder / "adapter_config.json"))
            self._adapter = LoRARequest("adapter", 1, str(folder.resolve()))
        self._llm = LLM(
            model=str(weights.folder),
            dtype=dtype_name(dtype),
            tensor_parallel_size=parallel_size(read_json(weights.folder / "config.json")["num_attention_heads"], gpus),
            generation_config="vllm",  # sampling comes with each request
            enable_prefix_caching=True,
            seed=0,
            **more,
        )

    def __call__(self, requests: Sequence[GenerationRequest]) -> Iterator[tuple[int, Generation]]:
        """Yield (position in `requests`, its generation), chunk by chunk."""
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            outputs = self._llm.generate(
                [{"prompt_token_ids": request.tokens} for request in chunk],
                [self._parameters(**sampling_arguments(request)) for request in chunk],
                lora_request=self._adapter,
                use_tqdm=False,
            )
            for index, output in enumerate(outputs, start):
                text = output.outputs[0]
                yield index, Generation(tokens=list(text.token_ids), truncated=text.finish_reason == "length")
