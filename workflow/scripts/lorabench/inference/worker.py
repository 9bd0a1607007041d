"""Hold one variant in a process of its own and time generations on request: `python -m
lorabench.inference.worker`.

Requests and replies are JSON values, one a line, on standard input and output; what libraries print
goes to standard error. The first request loads (see `Worker`), later ones are {"generate":
{"prompt": position, "new_tokens": n}} and {"memory": null}. Replies: {"ok": value} or {"error": one
line}. The process ends when standard input does, so that it never outlives the process that started
it.
"""

import gc
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from lorabench.chat import encode_chat
from lorabench.context import context_length
from lorabench.end_tokens import end_token_ids
from lorabench.errors import DataError, LorabenchError
from lorabench.files import read_json, sha256_json
from lorabench.inference.generation import generate_timed
from lorabench.inference.machine_state import MIB
from lorabench.inference.memory import MemoryMeter, gpu_uuid
from lorabench.llama import device, load_tokenizer, load_variant


class Worker:
    """One loaded variant with its tokenised prompts."""

    def __init__(self, request: dict[str, Any]) -> None:
        """Load the variant; keys of `request`: variant, base, adapter, merged (folders), dtype,
        threads, prompts, new_tokens."""
        torch.set_num_threads(request["threads"])
        base = Path(request["base"])
        # the base's for every variant: all see the same token ids
        tokenizer = load_tokenizer(base)
        self.prompts = [
            encode_chat(tokenizer, [{"role": "user", "content": text}])
            for text in request["prompts"]
        ]
        check_room(read_json(base / "config.json"), self.prompts, request["new_tokens"])
        self.meter = MemoryMeter()
        self.model = load_variant(
            request["variant"],
            base=base,
            adapter=_path(request["adapter"]),
            merged=_path(request["merged"]),
            dtype=request["dtype"],
        )
        self.meter.loaded()
        self.suppressed = sorted(end_token_ids(self.model.generation_config, tokenizer))
        # the loaded libraries are no garbage; collecting around them would take longer than a
        # generation
        gc.freeze()

    def describe(self) -> dict[str, Any]:
        """Return what was loaded, on what, and which token ids every prompt has."""
        parameters = [value for value in self.model.parameters() if value.is_floating_point()]
        return {
            "device": str(device()),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "gpu_uuid": gpu_uuid(),
            "gpu_free_mib": (
                torch.cuda.mem_get_info()[0] / MIB if torch.cuda.is_available() else None
            ),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
            "parameters": sum(value.numel() for value in parameters),
            "parameters_mib": sum(value.nbytes for value in parameters) / MIB,
            "requires_grad": sorted({value.requires_grad for value in parameters}),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "prompt_tokens": [len(ids) for ids in self.prompts],
            "prompt_sha256": [sha256_json(ids) for ids in self.prompts],
            "memory": self.meter.read(),
        }

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the value of one request after loading."""
        if "generate" in request:
            wanted = request["generate"]
            prompt = self.prompts[wanted["prompt"]]
            return asdict(generate_timed(self.model, prompt, wanted["new_tokens"], self.suppressed))
        return self.meter.read()


def check_room(config: dict[str, Any], prompts: list[list[int]], new_tokens: int) -> None:
    """Check that the longest prompt and its new tokens fit the model's context.

    Raises:
        DataError: they do not.
    """
    room, longest = context_length(config), max(map(len, prompts), default=0)
    if room is not None and longest + new_tokens > room:
        raise DataError(
            f"the longest performance prompt has {longest} tokens, which with new_tokens"
            f" {new_tokens} exceeds the base model's context of {room} tokens; lower"
            " measure_inference.new_tokens"
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def main() -> None:
    """Answer requests until standard input ends."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(request)
                reply: dict[str, Any] = {"ok": worker.describe()}
            else:
                reply = {"ok": worker.answer(request)}
        except Exception as error:
            # whatever goes wrong is the parent's to report
            traceback.print_exc()
            text = " ".join(str(error).split())
            reply = {
                "error": (
                    text if isinstance(error, LorabenchError) else f"{type(error).__name__}: {text}"
                )
            }
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
