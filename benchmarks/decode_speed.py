"""Time decode steps of base and LoRA, as CUDA graphs and from Python, at several batch sizes.

Weights are random, because speed does not depend on them.

    python benchmarks/decode_speed.py --shapes llama3-8b --dtype bfloat16 --batches 1 64 256
    python benchmarks/decode_speed.py --shapes smollm2-135m --batches 1 4

One JSON line a row: milliseconds of a step (median), tokens a second, the share of the copy's
bandwidth, on a GPU the share of a step in which no kernel ran. `growing_cache` is the usual forward
pass of transformers with a DynamicCache, batch 1, for comparison.

Targets on one H100 or H200, 8B shapes, bfloat16, and the row that shows each (*not run here*: no
GPU):
    at least 120 tokens/s for one user of the base             variant base, batch 1, captured true
    ratio lora / base at batch 1 within 0.03 of 0.73           variants lora and base, batch 1
    at least 10,000 tokens/s base, 0.75 of it unmerged LoRA    batch 256, captured true
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

import torch
from peft import LoraConfig, get_peft_model
from random_llama import SHAPES
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from lorabench.inference.bounds import copy_bandwidth, gpu_idle_share
from lorabench.inference.decoder import Decoder
from lorabench.llama import device

LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WARM_UP_STEPS = 3


def build(shapes: str, dtype: torch.dtype, variant: str, rank: int) -> Any:
    """Return a model of these shapes with random weights; "lora" adds an unmerged adapter."""
    config = LlamaConfig(
        **SHAPES[shapes],
        max_position_embeddings=8192,
        attn_implementation="sdpa",
        dtype=dtype,
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device()):
            model: Any = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(usual)
    if variant == "lora":
        adapter = LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules=LINEAR_LAYERS, init_lora_weights=False
        )
        model = get_peft_model(model, adapter, autocast_adapter_dtype=False).to(dtype)
    return model.requires_grad_(True).eval()


def median_ms(step: Callable[[], Any], steps: int) -> float:
    """Return the median milliseconds of a step that waits for the device itself."""
    for _ in range(WARM_UP_STEPS):
        step()
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def measure_decoder(
    model: Any, batch: int, arguments: argparse.Namespace, *, captured: bool
) -> dict[str, Any]:
    """Return the figures of our decoder with `batch` slots of `context` tokens each."""
    room = arguments.context + 2 * arguments.steps + WARM_UP_STEPS + 32
    decoder = Decoder(model, slots=batch, capacity=room, suppressed=[0], captured=captured)
    prompt = torch.randint(1, 1000, (min(128, arguments.context),)).tolist()
    decoder.read(0, prompt)
    decoder.slots.positions.fill_(arguments.context)
    milliseconds = median_ms(decoder.step, arguments.steps)
    held = decoder.slots.bytes_per_token * arguments.context * batch
    share = (decoder.weight_bytes_per_step + held) / (milliseconds / 1000) / arguments.bandwidth
    return {
        "captured": captured,
        "step_ms": milliseconds,
        "tokens_per_second": 1000 * batch / milliseconds,
        "bandwidth_share": share,
        "gpu_idle_share": gpu_idle_share(decoder, prompt),
    }


@torch.inference_mode()
def measure_growing(model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the usual forward pass with a cache that grows, batch 1."""
    cache = DynamicCache(config=model.config)
    ids = torch.randint(1, 1000, (1, arguments.context), device=device())
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    token = ids[:, :1]

    def step() -> None:
        logits = model(input_ids=token, past_key_values=cache, use_cache=True).logits[:, -1]
        logits.argmax(dim=-1).item()

    milliseconds = median_ms(step, arguments.steps)
    return {"step_ms": milliseconds, "tokens_per_second": 1000 / milliseconds}


def main() -> None:
    """Measure every variant and batch size and print one JSON line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", choices=sorted(SHAPES), default="smollm2-135m")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="float32")
    parser.add_argument("--variants", nargs="+", default=["base", "lora"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--context", type=int, default=512, help="tokens that each slot holds")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    on_gpu = torch.cuda.is_available()
    arguments.bandwidth = copy_bandwidth(device())
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    head = {"device": name, "shapes": arguments.shapes, "dtype": arguments.dtype}
    print(json.dumps({**head, "copy_bandwidth": arguments.bandwidth}), flush=True)
    for variant in arguments.variants:
        model = build(arguments.shapes, getattr(torch, arguments.dtype), variant, arguments.rank)
        row = {**head, "variant": variant}
        figures = {"growing_cache": True, "batch": 1, **measure_growing(model, arguments)}
        print(json.dumps({**row, **figures}), flush=True)
        for batch in arguments.batches:
            for captured in (False, True) if on_gpu else (False,):
                figures = measure_decoder(model, batch, arguments, captured=captured)
                print(json.dumps({**row, "batch": batch, **figures}), flush=True)
        del model


if __name__ == "__main__":
    main()
