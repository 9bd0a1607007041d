"""The vLLM engine: what it is asked for, what it refuses."""

from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from lorabench.errors import ConfigurationError, PrerequisiteError
from lorabench.evaluation.sampling import SeededSampler
from lorabench.evaluation.shared_prefix_model import GenerationRequest, SharedPrefixModel
from lorabench.evaluation.stopping import StopAt, end_token_ids
from lorabench.evaluation.vllm_engine import (
    VllmEngine,
    check_adapter_dtype,
    load_skeleton,
    lora_arguments,
    parallel_size,
    sampling_arguments,
)
from lorabench.evaluation.weights import Weights, answer_identity

pytest_plugins = ["evaluation_fixtures"]


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (4, 8), (16, 16), (64, 64), (200, 256), (512, 512)])
def test_the_adapters_rank_is_rounded_up_to_one_that_vllm_serves(rank: int, served: int) -> None:
    """VLLM's default of 16 would refuse the default adapter of rank 64."""
    assert lora_arguments({"r": rank})["max_lora_rank"] == served


@pytest.mark.parametrize("config", [{"r": 600}, {"r": 8, "use_dora": True}])
def test_an_adapter_that_vllm_cannot_serve_is_refused(config: dict[str, int | bool]) -> None:
    """The message names the other engine."""
    with pytest.raises(ConfigurationError, match="engine: transformers"):
        lora_arguments(config)


def test_requests_are_translated_whole(tokenizer: PreTrainedTokenizerBase) -> None:
    """Limits, end tokens, stop strings; greedy, or the question's own temperature and random stream."""
    stop = StopAt(tokenizer, frozenset({7, 3}), ["Question:"])
    greedy = sampling_arguments(GenerationRequest(tokens=[1], max_new_tokens=9, is_complete=stop))
    assert greedy == {
        "max_tokens": 9,
        "stop_token_ids": [3, 7],
        "stop": ["Question:"],
        "skip_special_tokens": False,
        "temperature": 0.0,
    }
    samplers = [
        SeededSampler(0.7, GenerationConfig(top_k=20, top_p=0.9), 42, name) for name in ("81:1", "81:1", "81:2")
    ]
    asked = [
        sampling_arguments(GenerationRequest(tokens=[1], max_new_tokens=9, is_complete=stop, choose=sampler))
        for sampler in samplers
    ]
    assert asked[0] == greedy | {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "seed": samplers[0].stream}
    assert asked[0] == asked[1] and asked[0]["seed"] != asked[2]["seed"]


def test_the_model_without_weights_ends_texts_like_the_model(
    source: Path, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """No weight is allocated, and the end tokens, sampling limits and context are those of the checkpoint."""
    skeleton = load_skeleton(Weights(variant="base", source=source, adapter=None, merged=None))
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert end_token_ids(skeleton, tokenizer) == end_token_ids(base, tokenizer)
    assert skeleton.config.max_position_embeddings == base.config.max_position_embeddings
    assert SharedPrefixModel(skeleton).model.generation_config is not None


def test_a_float32_adapter_on_a_gpu_is_refused() -> None:
    """vLLM's own kernels assert half precision there; on a CPU, and in bfloat16, nothing stands against it."""
    with pytest.raises(ConfigurationError, match="dtype: bfloat16"):
        check_adapter_dtype("float32", gpus=1)
    check_adapter_dtype("float32", gpus=0)
    check_adapter_dtype("bfloat16", gpus=1)


@pytest.mark.parametrize(("heads", "gpus", "size"), [(32, 0, 1), (32, 1, 1), (32, 4, 4), (32, 3, 2), (9, 8, 3)])
def test_a_model_is_spread_over_gpus_that_divide_its_heads(heads: int, gpus: int, size: int) -> None:
    """vLLM refuses other sizes."""
    assert parallel_size(heads, gpus) == size


def test_the_first_step_of_a_job_names_a_missing_vllm(source: Path) -> None:
    """The answers' identity is asked for before the engine: it needs vLLM's version."""
    weights = Weights(variant="base", source=source, adapter=None, merged=None)
    if "vllm" in {name.lower() for names in packages_distributions().values() for name in names}:
        pytest.skip("vLLM is installed")
    with pytest.raises(PrerequisiteError, match=r"envs/vllm\.yaml"):
        answer_identity(weights, "float32", "vllm", {})


def test_without_vllm_the_message_names_its_environment(source: Path) -> None:
    """The engine is not part of the default environment."""
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(PrerequisiteError, match=r"envs/vllm\.yaml"):
            VllmEngine(Weights(variant="base", source=source, adapter=None, merged=None), "float32")
    else:
        pytest.skip("vLLM is installed")
