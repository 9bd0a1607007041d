"""Time the rule measure_inference at its defaults, on random weights of a named model's shapes.

    python benchmarks/timing_rule.py --random-shapes llama3-8b

Base, an unmerged adapter of rank 64 and, as merged model, the base again; what is measured is in
config/config.yaml. Prints one JSON line: the rule's wall seconds, and for each variant the decoded
tokens a second of one user and their ratio to the base, with its interval.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

import torch
import yaml
from decode_speed import LINEAR_LAYERS
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from random_llama import SHAPES, made_checkpoint
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from lorabench.inference.measurement import Checkpoints, measure
from lorabench.inference.settings import InferenceSettings, parse_settings, read_prompts
from lorabench.inference.turns import CONTROL
from lorabench.scoring.inference_summary import ratios_to_base, summarise

PROMPTS = ROOT / "workflow" / "resources" / "samples" / "performance_prompts.jsonl"
RATE = "decode_tokens_per_second"


def make_random_adapter(model: Path, folder: Path) -> None:
    """Write an adapter of rank 64 with random weights, without loading the model."""
    adapter = LoraConfig(r=64, lora_alpha=128, target_modules=LINEAR_LAYERS, task_type="CAUSAL_LM")
    with torch.device("meta"):
        adapted = get_peft_model(LlamaForCausalLM(LlamaConfig.from_pretrained(model)), adapter)
    wanted = get_peft_model_state_dict(adapted)
    weights = {name: torch.randn(like.shape) * 2e-3 for name, like in wanted.items()}
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter.inference_mode = True
    adapter.save_pretrained(str(folder))


def settings_of(small: bool) -> InferenceSettings:
    """Return config.yaml's section, or the least of it."""
    section: dict[str, Any] = yaml.safe_load(
        (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    )["measure_inference"]
    section = {key: section[key] for key in InferenceSettings.model_fields}
    if small:
        section |= {"prompts": 2, "new_tokens": 8}
        section["load"] |= {"concurrency": [1, 2], "new_tokens": 4, "repeats": 1}
    return parse_settings(section)


def main() -> None:
    """Measure once and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--random-shapes", choices=list(SHAPES), required=True)
    parser.add_argument("--small", action="store_true", help="2 prompts and 2 users: a trial")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    model = made_checkpoint(arguments.random_shapes)
    settings = settings_of(arguments.small)
    with tempfile.TemporaryDirectory() as work:
        adapter = Path(work) / "adapter"
        make_random_adapter(model, adapter)
        started = time.monotonic()
        checkpoints = Checkpoints(base=model, adapter=adapter, merged=model)
        chosen = read_prompts(PROMPTS, settings.prompts)
        rows = measure(settings, chosen, checkpoints, os.cpu_count() or 1).rows
    seconds = time.monotonic() - started
    base, again = ([row for row in rows if row.variant == arm] for arm in ("base", CONTROL))
    found: dict[str, Any] = {"seconds": seconds, "variants": {}}
    for variant in settings.variants:
        own = [row for row in rows if row.variant == variant]
        rate = {"tokens_per_second": summarise(own)[RATE]["median"]}
        if variant != "base":
            rate["ratio_to_base"] = dict(ratios_to_base(base, again, own)[RATE])
        found["variants"][variant] = rate
    print(json.dumps(found))


if __name__ == "__main__":
    main()
