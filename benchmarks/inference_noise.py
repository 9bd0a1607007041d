"""How large must a difference in speed be to be seen? The base model runs against itself.

    python benchmarks/inference_noise.py resources/models/SmolLM2-135M-Instruct --sessions 5

Each session is what the rule measure_inference does with the base only: two processes of the same
model that take turns. Two readings of decode tokens per second come out:
    unpaired   one process of one session against the same process of the next:
               what separate runs would compare
    paired     the two processes of one session, prompt by prompt:
               what the pipeline compares
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.inference.measurement import Checkpoints, measure
from lorabench.inference.settings import (
    InferenceSettings,
    LoadSettings,
    ServerSettings,
    read_prompts,
)
from lorabench.inference.turns import CONTROL
from lorabench.scoring.inference_summary import decode_tokens_per_second, ratio_table

PROMPTS = ROOT / "workflow" / "resources" / "samples" / "performance_prompts.jsonl"


def main() -> None:
    """Run the sessions and print the spread of both readings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    settings = InferenceSettings(
        variants=["base"],
        dtype=options.dtype,
        prompts=options.prompts,
        new_tokens=options.new_tokens,
        repeats=options.repeats,
        warmup=1,
        load=LoadSettings(concurrency=[], requests_per_user=1, new_tokens=2, repeats=1),
        server=ServerSettings(base=None, lora=None, merged=None, timeout_seconds=1),
    )
    prompts = read_prompts(PROMPTS, options.prompts)
    rates, paired = [], []
    for session in range(options.sessions):
        checkpoints = Checkpoints(base=options.model, adapter=None, merged=None)
        rows = measure(settings, prompts, checkpoints, options.threads).rows
        base, again = ([row for row in rows if row.variant == arm] for arm in ("base", CONTROL))
        rates.append(float(np.median([decode_tokens_per_second(row) for row in base])))
        paired.append(float(np.median(ratio_table(base, again, decode_tokens_per_second))))
        print(
            f"session {session}: {rates[-1]:.1f} tokens/s, ratio to itself {paired[-1]:.3f}",
            flush=True,
        )
    unpaired = [after / before for before, after in pairwise(rates)]
    for name, ratios in (("unpaired", unpaired), ("paired", paired)):
        if ratios:
            print(
                f"{name}: median ratio {np.median(ratios):.3f}, from {min(ratios):.3f} to"
                f" {max(ratios):.3f}"
            )


if __name__ == "__main__":
    main()
