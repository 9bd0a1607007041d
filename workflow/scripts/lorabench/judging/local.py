"""The local scoring judge: a model's probabilities of the possible answers are its answer.

Nothing is sampled: the prompt goes through the model's own chat template, then the beginning of the
judge's answer (for MT-Bench "Rating: [["), and one forward pass gives the probability of each
choice. One request is a pass: in a batch the others change a rating's last bits, so that it would
depend on what is in the store already. Batches were not faster on a CPU. A small model cannot tell
good answers from bad; its numbers only show that the step works.
"""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.chat import render_chat
from lorabench.context import context_length
from lorabench.errors import JudgeError
from lorabench.files import read_json, sha256_json
from lorabench.judging.choices import ChoiceTokens, choice_log_probabilities, encode_choices
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.store import AnswerStore
from lorabench.llama import load_base, load_tokenizer, resolve_dtype

logger = logging.getLogger(__name__)


class LocalJudge:
    """A judge model on this machine, loaded when the first answer is not in the store."""

    kind = "local"
    estimated_usd = 0.0

    def __init__(self, source: Path, settings: JudgeSettings, store: AnswerStore) -> None:
        """Prepare the judge in the folder of `source`, the model's source.json."""
        origin = read_json(source)
        self.folder = source.parent
        self.model = str(origin.get("origin") or self.folder.name)
        self.settings = settings
        self.store = store
        dtype = str(resolve_dtype(settings.dtype)).removeprefix("torch.")
        self.identity = {
            "kind": "local",
            "model": sha256_json(origin.get("sha256")),
            "dtype": dtype,
            # ratings from batches are asked for again
            "requests_per_pass": 1,
        }

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return the choices' log-probabilities of each request.

        Each request's parameters are `choices` (list of strings) and `assistant_prefix` (start of
        the judge's answer).
        """
        keys = [request.key(self.identity) for request in requests]
        known = {key for key in keys if key in self.store}
        missing = {
            key: request for key, request in zip(keys, requests, strict=True) if key not in known
        }
        if missing:
            scorer = _Scorer(self.folder, self.settings, self.model)
            for key, request in tqdm(
                missing.items(), desc="judging", unit="request", file=sys.stderr, mininterval=1
            ):
                self.store.put(key, self.identity, request, scorer.score(request))
        return [replace(self.store.answer(key), cached=key in known) for key in keys]


class _Scorer:
    """The loaded model with its tokenizer."""

    def __init__(self, folder: Path, settings: JudgeSettings, name: str) -> None:
        self.name = name
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(folder)
        self.network: PreTrainedModel = load_base(folder, resolve_dtype(settings.dtype)).eval()
        # None: the architecture has no such limit
        self.limit = context_length(self.network.config.to_dict())
        self._choices: dict[str, ChoiceTokens] = {}
        if self.tokenizer.chat_template is None:
            raise JudgeError(
                f"{folder}: the local judge's tokenizer has no chat template; choose an instruct"
                " model"
            )

    def choices(self, parameters: dict[str, Any]) -> ChoiceTokens:
        """Return the choices' tokens, encoded once for each set of choices."""
        name = repr((parameters["assistant_prefix"], parameters["choices"]))
        if name not in self._choices:
            self._choices[name] = encode_choices(
                self.tokenizer, parameters["choices"], parameters["assistant_prefix"]
            )
        return self._choices[name]

    def encode(self, request: JudgeRequest) -> list[int]:
        """Return the token ids of the chat, the answer's start and the choice's tokens."""
        chat = render_chat(self.tokenizer, request.messages, prompt=True)
        text = chat + request.parameters["assistant_prefix"]
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids + self.choices(request.parameters).appended

    @torch.inference_mode()
    def score(self, request: JudgeRequest) -> Reply:
        """Return the answer to one request; a prompt that is too long is a failure of its item."""
        prompt, choices = self.encode(request), self.choices(request.parameters)
        if self.limit is not None and len(prompt) > self.limit:
            return self._too_long(len(prompt))
        hidden = self.network.get_decoder()(
            input_ids=torch.tensor([prompt], device=self.network.device), use_cache=False
        ).last_hidden_state
        # (positions that predict a token of a choice, hidden)
        ends = hidden[0, -len(choices.appended) - 1 :]
        return Reply(
            outcome="answered",
            log_probabilities=choice_log_probabilities(choices.tokens, self._log_softmax(ends)),
            model=self.name,
            input_tokens=len(prompt),
            output_tokens=0,
        )

    def _log_softmax(self, hidden: torch.Tensor) -> torch.Tensor:
        """Project (positions, hidden) to the vocabulary in float32: bfloat16 ties too often."""
        weight = self.network.get_output_embeddings().weight
        return torch.log_softmax(torch.nn.functional.linear(hidden.float(), weight.float()), dim=-1)

    def _too_long(self, tokens: int) -> Reply:
        return Reply(
            outcome="failed",
            reason=f"the prompt has {tokens} tokens, the judge model reads at most {self.limit}",
        )
