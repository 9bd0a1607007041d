"""Generate with vLLM in place of our own passes: for GPUs, in its own environment, envs/vllm.yaml.

It takes the same requests, prompts as token ids (so no second begin-of-text), and ends a text where
we do. It serves generation only: vLLM's prompt log-probabilities skip its prefix cache and are
rounded to the model's dtype.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lorabench.errors import ConfigurationError, PrerequisiteError
from lorabench.evaluation.sampling import SeededSampler
from lorabench.evaluation.shared_prefix_model import Generation, GenerationRequest
from lorabench.evaluation.vllm_support import RANKS, largest_rank, why_not_in_dtype, why_not_served
from lorabench.evaluation.weights import Weights, dtype_name
from lorabench.files import read_json
from lorabench.safetensors_header import read_header


def adapter_arguments(folder: Path, dtype: str, gpus: int) -> dict[str, Any]:
    """Return what vLLM needs to know to serve the adapter in `folder` unmerged.

    Raises:
        ConfigurationError: vLLM would refuse the adapter after loading the model, or answer
            otherwise than it does.
    """
    config = read_json(folder / "adapter_config.json")
    tensors = list(read_header(folder / "adapter_model.safetensors"))
    if reason := why_not_in_dtype(dtype, gpus) or why_not_served(config, tensors):
        raise ConfigurationError(reason)
    rank = next(size for size in RANKS if size >= largest_rank(config))
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}


def parallel_size(heads: int, gpus: int) -> int:
    """Return the GPUs to use: the largest number up to `gpus` that divides the attention heads."""
    return max(size for size in range(1, max(1, gpus) + 1) if heads % size == 0)


def sampling_arguments(request: GenerationRequest) -> dict[str, Any]:
    """Return vLLM's SamplingParams of a request, as keywords."""
    arguments = {
        "max_tokens": request.max_new_tokens,
        "stop_token_ids": sorted(request.is_complete.end_ids),
        "stop": request.is_complete.strings,
        # a stop string may be one
        "skip_special_tokens": False,
        "temperature": 0.0,
    }
    if isinstance(request.choose, SeededSampler):
        sampler = request.choose
        arguments |= {"temperature": sampler.temperature, "seed": sampler.stream}
        arguments |= {"top_k": sampler.top_k, "top_p": sampler.top_p}
    return arguments


class VllmEngine:
    """vLLM with one variant on all GPUs of the job; it loads when it is first needed.

    Args:
        weights: the variant; an adapter stays unmerged.
        dtype: the config's word.
    """

    def __init__(self, weights: Weights, dtype: str) -> None:
        # both are read at import; vLLM reports to its makers otherwise
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        # an engine in a separate process outlives a job that is killed
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        gpus = torch.cuda.device_count()
        try:
            from vllm import LLM, SamplingParams
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise PrerequisiteError(
                f"vLLM cannot be imported ({error}): run snakemake with --sdm conda, which builds"
                " envs/vllm.yaml, or set engine: transformers"
            ) from None
        # Prompt tokens that its prefix cache did not hold, and new tokens but the last of each
        # text.
        self.tokens_computed = 0
        self._parameters = SamplingParams
        self._adapter = None
        more: dict[str, Any] = {}
        if weights.variant == "lora" and weights.adapter is not None:
            folder = weights.adapter.parent
            more = adapter_arguments(folder, dtype_name(dtype), gpus)
            self._adapter = LoRARequest("adapter", 1, str(folder.resolve()))
        self._loader = LLM
        self._arguments = {
            "model": str(weights.folder),
            "dtype": dtype_name(dtype),
            "tensor_parallel_size": parallel_size(
                read_json(weights.folder / "config.json")["num_attention_heads"], gpus
            ),
            # sampling comes with each request
            "generation_config": "vllm",
            "enable_prefix_caching": True,
            "seed": 0,
            **more,
        }

    @cached_property
    def _llm(self) -> Any:
        return self._loader(**self._arguments)

    def __call__(self, requests: Sequence[GenerationRequest]) -> Iterator[tuple[int, Generation]]:
        """Yield (position in `requests`, its generation) as generations end."""
        names = self._llm.enqueue(
            [{"prompt_token_ids": request.tokens} for request in requests],
            [self._parameters(**sampling_arguments(request)) for request in requests],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        # outputs go without the suffix
        positions = {name.partition("-")[0]: index for index, name in enumerate(names)}
        engine = self._llm.llm_engine
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    text = output.outputs[0]
                    tokens = list(text.token_ids)
                    self.tokens_computed += (
                        len(output.prompt_token_ids) - output.num_cached_tokens + len(tokens) - 1
                    )
                    cut = text.finish_reason == "length"
                    yield positions[output.request_id], Generation(tokens=tokens, truncated=cut)
