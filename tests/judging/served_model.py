"""A real model for the judge server: a random Llama of 18 words."""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from judging.fake_judge import Response, openai_answer
from lorabench.files import write_json

# what is unknown reads as "?"
WORDS = ["?", "m", "M", "[[3]]", "[[8]]", "good", "weak", "and", *"0123456789"]
NAME = "random-llama-18-words"  # as the model calls itself in its answers


def make_model(folder: Path) -> Path:
    """Write the checkpoint, always the same weights, and return its source.json."""
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(r"\[\[\d+\]\]|[a-zA-Z]+|\d|."), "isolated"),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", pad_token="?")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,  # far from uniform, so that answers differ
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    write_json(folder / "source.json", {"origin": NAME, "sha256": {}})
    return folder / "source.json"


class ServedModel:
    """The model behind a server: it generates and shows its log-probabilities."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._lock = threading.Lock()  # the random numbers are the process's

    def respond(self, number: int, body: dict[str, Any]) -> Response:
        """Return the chat completion of one request; equal requests get equal answers."""
        chat = self._tokenizer.apply_chat_template(body["messages"], tokenize=False)
        prompt = self._tokenizer(chat, add_special_tokens=False, return_tensors="pt")
        temperature = float(body["temperature"])
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
        with self._lock:
            torch.manual_seed(int(hashlib.sha256(json.dumps(body).encode()).hexdigest()[:8], 16))
            made = self._network.generate(
                **prompt,
                **sampling,
                max_new_tokens=body["max_tokens"],
                return_dict_in_generate=True,
                output_logits=True,
            )
        read = prompt["input_ids"].shape[1]
        tokens = made.sequences[0, read:].tolist()
        tables = torch.log_softmax(torch.cat(made.logits), dim=-1)  # (token, word)
        logprobs = None
        if body.get("logprobs"):
            logprobs = {"content": [self._shown(table, body["top_logprobs"]) for table in tables]}
        text, counts = str(self._tokenizer.decode(tokens)), (read, len(tokens))
        return openai_answer(text, NAME, counts, finish_reason="length", logprobs=logprobs)

    def _shown(self, table: torch.Tensor, count: int) -> dict[str, Any]:
        best = table.topk(min(count, len(WORDS)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return {"top_logprobs": [{"token": WORDS[word], "logprob": value} for word, value in pairs]}
