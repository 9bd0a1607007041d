"""Hold one variant in its own process and time generations on request.

Started as `python -m lorabench.inference.worker`.

Requests and replies are JSON values, one a line, on standard input and output; what libraries print
goes to standard error. The first request loads (see `Worker`), later ones have one key, that of a
method in `Worker.ANSWERS`. Replies: {"ok": value} or {"error": one line}. The process ends when
standard input does, so that it never outlives the process that started it.
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
from lorabench.inference.bounds import copy_bandwidth, gpu_idle_share
from lorabench.inference.decoder import Decoder
from lorabench.inference.generation import generate_timed
from lorabench.inference.load import lacking_memory, serve
from lorabench.inference.machine_state import MIB
from lorabench.inference.memory import MemoryMeter, gpu_uuid
from lorabench.llama import device, load_tokenizer
from lorabench.variants import load_variant


class Worker:
    """One loaded variant with its tokenised prompts."""

    def __init__(self, request: dict[str, Any]) -> None:
        """Load the variant.

        Keys of `request`: variant, base, adapter, merged (folders), dtype, threads, prompts,
        new_tokens, most_new_tokens (under load, too).
        """
        torch.set_num_threads(request["threads"])
        base = Path(request["base"])
        # the base's for every variant: all see the same token ids
        tokenizer = load_tokenizer(base)
        self.prompts = [
            encode_chat(tokenizer, [{"role": "user", "content": text}])
            for text in request["prompts"]
        ]
        check_room(read_json(base / "config.json"), self.prompts, request["most_new_tokens"])
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
        self.new_tokens = request["new_tokens"]
        self.not_captured: str | None = None
        self.decoder = self._decoder(slots=1, new_tokens=self.new_tokens)
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
            "captured": self.decoder.captured,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "prompt_tokens": [len(ids) for ids in self.prompts],
            "prompt_sha256": [sha256_json(ids) for ids in self.prompts],
            "memory": self.meter.read(),
        }

    def _decoder(self, slots: int, new_tokens: int) -> Decoder:
        """Return a decoder, one that launches from Python where passes cannot be captured."""
        capacity = self._longest + new_tokens
        made: dict[str, Any] = {"slots": slots, "capacity": capacity, "suppressed": self.suppressed}
        if self.not_captured is None:
            decoder = Decoder(self.model, **made)
            try:
                decoder.prepare(self.prompts)
                return decoder
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if not decoder.captured:
                    raise
                self.not_captured = " ".join(str(error).split())[:200]
        return Decoder(self.model, **made, captured=False)

    @property
    def _longest(self) -> int:
        return max(map(len, self.prompts))

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the value of one request after loading: {name of a method: its argument}."""
        ((name, argument),) = request.items()
        if name not in self.ANSWERS:
            raise ValueError(f"no such request: {name}")
        return getattr(self, name)(argument)

    ANSWERS = frozenset({"generate", "memory", "step", "bandwidth", "load"})

    def generate(self, wanted: dict[str, int]) -> dict[str, Any]:
        """Time one generation; keys: prompt (position), new_tokens."""
        prompt = self.prompts[wanted["prompt"]]
        return asdict(generate_timed(self.decoder, prompt, wanted["new_tokens"]))

    def memory(self, _: None) -> dict[str, float | None]:
        """Read the memory of this process."""
        return self.meter.read()

    def step(self, _: None) -> dict[str, Any]:
        """Describe the single-stream decode step: reads, launches, idle time."""
        lengths = [len(prompt) for prompt in self.prompts]
        return {
            "captured": self.decoder.captured,
            "not_captured": self.not_captured,
            "weight_bytes": self.decoder.weight_bytes_per_step,
            "kv_bytes_per_token": self.decoder.slots.bytes_per_token,
            "tokens_held": sum(lengths) / len(lengths) + self.new_tokens / 2,
            "gpu_idle_share": gpu_idle_share(self.decoder, min(self.prompts, key=len)),
        }

    def bandwidth(self, _: None) -> float:
        """Measure the memory's copy bandwidth in bytes a second."""
        return copy_bandwidth(device())

    def load(self, wanted: dict[str, int]) -> dict[str, Any]:
        """Answer requests under load; keys: concurrency, requests, new_tokens.

        The reply has `skipped`, a reason, where memory does not hold them.
        """
        capacity = self._longest + wanted["new_tokens"]
        per_token = self.decoder.slots.bytes_per_token
        skipped = lacking_memory(per_token, capacity, wanted["concurrency"])
        if skipped:
            return {"skipped": skipped, "served": []}
        decoder = self._decoder(wanted["concurrency"], wanted["new_tokens"])
        served = serve(decoder, self.prompts, wanted["requests"], wanted["new_tokens"])
        rows = [{**asdict(one), "tokens": len(one.tokens)} for one in served]
        del decoder
        gc.collect()
        if torch.cuda.is_available():
            # the next arm's keys and values may need the place
            torch.cuda.empty_cache()
        return {"skipped": None, "served": rows}


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
