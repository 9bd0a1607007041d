"""Make a checkpoint of random bfloat16 weights in a named model's shapes.

Speed and memory of training need no real weights, so no hub either.

    python benchmarks/random_llama.py llama3-8b resources/models/random-llama3-8b

The tokenizer is that of the project's tiny model; ids are drawn at random (`random_conversations`).
"""

import argparse
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

if TYPE_CHECKING:
    from lorabench.training.encode import Encoded

LLAMA3 = {"vocab_size": 128256, "head_dim": 128, "num_key_value_heads": 8}
SHAPES: dict[str, dict[str, Any]] = {
    "llama3-8b": LLAMA3
    | {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "llama3.2-3b": LLAMA3
    | {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "tie_word_embeddings": True,
    },
    "llama3.2-1b": LLAMA3
    | {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "smollm2-135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 16,
    },
}
SHARD_BYTES = 4e9
# Lengths of oasst1's conversations in Llama 3's tokens, as measured on 160 of them: mean 368,
# nearly all under 2,048; a log-normal distribution with this spread.
MEAN_LENGTH, SPREAD = 368, 0.8
LABEL_SHARE = 0.75


def checkpoint_of(shapes: str) -> Path:
    """Return the folder in which the benchmarks keep a checkpoint of these shapes."""
    return ROOT / "resources" / "models" / f"random-{shapes}"


def made_checkpoint(shapes: str) -> Path:
    """Return that folder, made if needed: by another process, since this one would keep the GPU."""
    folder = checkpoint_of(shapes)
    subprocess.run([sys.executable, __file__, shapes, str(folder)], check=True)
    return folder


def random_conversations(count: int, vocabulary: int, longest: int) -> list["Encoded"]:
    """Return conversations of random tokens with oasst1's lengths, the same ones each time."""
    from lorabench.training.encode import IGNORED, Encoded

    generator = random.Random(0)
    middle = math.log(MEAN_LENGTH) - SPREAD**2 / 2
    made = []
    for number in range(count):
        drawn = round(generator.lognormvariate(middle, SPREAD))
        length = min(longest, max(16, drawn))
        ids = [generator.randrange(vocabulary) for _ in range(length)]
        start = round(length * (1 - LABEL_SHARE))
        labels = [IGNORED] * start + ids[start:]
        made.append(Encoded(id=str(number), input_ids=ids, labels=labels, cut_tokens=0))
    return made


def make_random_llama(shapes: str, folder: Path) -> None:
    """Write config, tokenizer and weights to `folder`; a folder that is whole is left."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    from lorabench.data.models.tiny_llama import make_tiny_llama

    index_file = folder / "model.safetensors.index.json"
    if index_file.is_file():
        return
    make_tiny_llama(folder, samples=ROOT / "workflow/resources/samples/oasst_trees.jsonl")
    (folder / "model.safetensors").unlink()
    ids = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    config = LlamaConfig(
        **SHAPES[shapes],
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 500000.0, "rope_type": "default"},
        bos_token_id=ids["bos_token_id"],
        eos_token_id=ids["eos_token_id"],
        pad_token_id=ids["pad_token_id"],
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        wanted = LlamaForCausalLM(config).state_dict()
    if config.tie_word_embeddings:
        del wanted["lm_head.weight"]
    torch.manual_seed(0)
    place = "cuda" if torch.cuda.is_available() else "cpu"
    shards: list[dict[str, torch.Tensor]] = [{}]
    names: dict[str, str] = {}

    def write() -> None:
        name = f"model-{len(shards):05d}.safetensors"
        save_file(shards[-1], folder / name, metadata={"format": "pt"})
        names.update(dict.fromkeys(shards[-1], name))
        shards.append({})

    for name, like in wanted.items():
        if name.endswith("norm.weight"):
            made = torch.ones(like.shape, dtype=torch.bfloat16)
        else:
            made = (torch.randn(like.shape, device=place) * 0.02).to(torch.bfloat16).cpu()
        shards[-1][name] = made
        if sum(part.nbytes for part in shards[-1].values()) > SHARD_BYTES:
            write()
    write()
    total = sum(2 * like.numel() for like in wanted.values())
    index = {"metadata": {"total_size": total}, "weight_map": names}
    index_file.write_text(json.dumps(index), encoding="utf-8")


def main() -> None:
    """Read the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", choices=list(SHAPES))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    make_random_llama(arguments.shapes, arguments.folder)


if __name__ == "__main__":
    main()
