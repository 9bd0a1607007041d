"""Compare the lengths in a config with its base model's context, before any work starts."""

from collections.abc import Set
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from lorabench.context import context_length
from lorabench.files import read_json

# Rule -> keys below its section whose tokens must fit the context, a prompt not yet counted.
LENGTHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "train_adapter": (("max_seq_length",),),
    "evaluate_task": (("gsm8k", "max_new_tokens"),),
    "generate_answers": (("mt_bench", "max_new_tokens"), ("alpaca_eval", "max_new_tokens")),
    "measure_inference": (("new_tokens",),),
}


def find_context_faults(run: dict[str, Any], rules: Set[str], model: Path | None) -> list[str]:
    """Return one line for each length of a scheduled rule that the base model cannot read.

    Args:
        model: folder of the base model, None where it is not on this machine yet; the jobs check
            again.
    """
    room = context_length(read_json(model / "config.json")) if model is not None else None
    if room is None:
        return []
    faults = []
    for rule, keys in LENGTHS.items():
        for path in keys if rule in rules else ():
            if len(path) > 1 and path[0] not in run["score_benchmark"]["benchmarks"]:
                continue
            value: Any = reduce(getitem, path, run[rule])
            # a prompt needs some tokens, too
            most = room if rule == "train_adapter" else room - 1
            if value > most:
                faults.append(
                    f"{rule}.{'.'.join(path)} is {value}, but {run['fetch_model']['base']['name']}"
                    f" reads {room} tokens: set it to {most} or less"
                )
    return faults
