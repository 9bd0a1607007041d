"""The local scoring judge: a model's probabilities of the possible answers are its answer.

Nothing is sampled: the prompt goes through the model's own chat template, then the beginning of the
judge's answer (for MT-Bench "Rating: [["), and one forward pass gives the probability of each
choice. Deterministic: batches depend on the requests only, also when a killed run resumes. A
small model cannot tell good answers from bad; its numbers only show that the step works.
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
        }

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return the choices' log-probabilities of each request.

        Each request's parameters are `choices` (list of strings) and `assistant_prefix` (start of
        the judge's answer).
        """
        keys = [request.key(self.identity) for request in requests]
        known = {key for key in keys if key in self.store}
        if len(known) < len(set(keys)):
            scorer = _Scorer(self.folder, self.settings, self.model)
            prompts = [scorer.encode(request) for request in requests]
            batches = form_batches(
                [len(prompt) for prompt in prompts], self.settings.tokens_per_batch
            )
            for batch in tqdm(
                batches, desc="judging", unit="batch", file=sys.stderr, mininterval=1
            ):
                if all(keys[index] in self.store for index in batch):
                    continue
                answers = scorer.score(
                    [requests[index] for index in batch], [prompts[index] for index in batch]
                )
                for index, answer in zip(batch, answers, strict=True):
                    if keys[index] not in self.store:
                        self.store.put(keys[index], self.identity, requests[index], answer)
        return [replace(self.store.answer(key), cached=key in known) for key in keys]


def form_batches(lengths: list[int], tokens_per_batch: int) -> list[list[int]]:
    """Return indices in batches of similar length, of at most `tokens_per_batch` padded tokens."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= tokens_per_batch:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


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
    def score(self, requests: list[JudgeRequest], prompts: list[list[int]]) -> list[Reply]:
        """Return the answers to one batch; a prompt that is too long is a failure of its item."""
        fitting = [
            index
            for index, prompt in enumerate(prompts)
            if self.limit is None or len(prompt) <= self.limit
        ]
        replies = [self._too_long(len(prompt)) for prompt in prompts]
        if not fitting:
            return replies
        width = max(len(prompts[index]) for index in fitting)
        # (batch, tokens), padded on the right: causal attention never looks at the padding, so it
        # needs no mask
        ids = torch.zeros(len(fitting), width, dtype=torch.long)
        for row, index in enumerate(fitting):
            ids[row, : len(prompts[index])] = torch.tensor(prompts[index])
        hidden = self.network.get_decoder()(
            input_ids=ids.to(self.network.device), use_cache=False
        ).last_hidden_state
        # (choice positions, hidden) each
        ends = []
        for row, index in enumerate(fitting):
            end = len(prompts[index])
            appended = self.choices(requests[index].parameters).appended
            ends.append(hidden[row, end - len(appended) - 1 : end])
        tables = self._log_softmax(torch.cat(ends)).split([len(end) for end in ends])
        for index, table in zip(fitting, tables, strict=True):
            replies[index] = Reply(
                outcome="answered",
                log_probabilities=choice_log_probabilities(
                    self.choices(requests[index].parameters).tokens, table
                ),
                model=self.name,
                input_tokens=len(prompts[index]),
                output_tokens=0,
            )
        return replies

    def _log_softmax(self, hidden: torch.Tensor) -> torch.Tensor:
        """Project (positions, hidden) to the vocabulary in float32: bfloat16 ties too often."""
        weight = self.network.get_output_embeddings().weight
        return torch.log_softmax(torch.nn.functional.linear(hidden.float(), weight.float()), dim=-1)

    def _too_long(self, tokens: int) -> Reply:
        return Reply(
            outcome="failed",
            reason=f"the prompt has {tokens} tokens, the judge model reads at most {self.limit}",
        )
