"""A model for lm-evaluation-harness that encodes shared few-shot prefixes once."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.chat import render_chat
from lorabench.context import context_length
from lorabench.end_tokens import end_token_ids
from lorabench.errors import ConfigurationError, DataError
from lorabench.evaluation.grouped_passes import Generate, generate_rows, score_rows
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.shared_prefix_model import GenerationRequest, ScoredRow, SharedPrefixModel
from lorabench.evaluation.stopping import StopAt

# importing peft takes 2 s, and base and merged do without it
if TYPE_CHECKING:
    from peft import PeftModel

# strings, context tokens, continuation tokens
Encoded = tuple[tuple[str, str] | None, list[int], list[int]]

# bounds the memory of their token lists
REQUESTS_ENCODED_TOGETHER = 1024


class PrefixCacheLM(HFLM):
    """`HFLM` with the two computing methods replaced.

    Args:
        model: base, merged or unmerged PeftModel, on its device, or a skeleton of it.
        load: brings the weights of a skeleton when the first pass needs them.
        tokenizer: the model's tokenizer.
        tokens_per_batch: tokens in a forward pass, a shared prefix not counted; for generation,
            tokens whose
            keys and values are held at once.
        store: answers of earlier, interrupted runs; None = nothing is kept.
        generate: another engine for generations than our own passes; `model` then needs no weights.
    """

    def __init__(
        self,
        model: "PreTrainedModel | PeftModel",
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokens_per_batch: int | str,
        load: "Callable[[], PreTrainedModel | PeftModel] | None" = None,
        store: ResponseStore | None = None,
        generate: Generate | None = None,
    ) -> None:
        room = context_length(model.config.to_dict())
        super().__init__(pretrained=model, tokenizer=tokenizer, backend="causal", max_length=room)
        self.shared = SharedPrefixModel(model, load=load)
        self.tokens_per_batch = tokens_per_batch
        self.generate = generate or partial(
            generate_rows, self.shared, tokens_per_batch=tokens_per_batch
        )
        self.store = store
        # prompt -> the token limit ended its generation
        self.truncated: dict[str, bool] = {}
        # texts of the requests being encoded
        self._encoded: dict[str, list[int]] = {}
        # prompts are chats, whose template writes the first token or leaves it out, as in training
        self._chat = False
        self._end_ids = end_token_ids(self.shared.outline.generation_config, tokenizer)

    def get_model_info(self) -> dict[str, Any]:
        """Return nothing: the harness would ask the hub for a revision."""
        return {}

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the text of a conversation; where a template has no system message, without it."""
        self._chat = True
        render = partial(
            render_chat,
            self.tokenizer,
            prompt=add_generation_prompt,
            continued=not add_generation_prompt,
        )
        try:
            return render(chat_history)
        except DataError:
            others = [message for message in chat_history if message["role"] != "system"]
            if len(others) == len(chat_history):
                raise
            return render(others)

    def check_room(self, prompt: int, new: int, what: str) -> None:
        """Check that a prompt and what follows it fit the model's context.

        The harness would cut the prompt's beginning, its examples first, without a word.

        Raises:
            DataError: they do not fit.
        """
        if prompt + new > self.max_length:
            raise DataError(
                f"a prompt of {prompt} tokens with its examples and {what} {new} exceed the model's"
                f" context of {self.max_length} tokens; lower few_shot or max_new_tokens of the"
                " benchmark in evaluate_task, or leave out what is too long"
            )

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Return the token ids of a text; those of `_encode_together` are at hand."""
        if string in self._encoded and not args and not kwargs:
            return self._encoded[string]
        if self._chat and not args:
            kwargs.setdefault("add_special_tokens", False)
        return super().tok_encode(string, *args, **kwargs)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return (log-likelihood, is greedy) for each request; see `HFLM` for the requests."""
        encoded: list[Encoded] = []
        for start in range(0, len(requests), REQUESTS_ENCODED_TOGETHER):
            pairs = [
                request.args for request in requests[start : start + REQUESTS_ENCODED_TOGETHER]
            ]
            self._encode_together(
                [context.rstrip() for context, _ in pairs] + ["".join(pair) for pair in pairs]
            )
            encoded += [(pair, *self._encode_request(*pair)) for pair in pairs]
        self._encoded = {}
        return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm)

    def _encode_request(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if context:
            return self._encode_pair(context, continuation)
        tokens = self.tok_encode(continuation, add_special_tokens=False)
        # an empty context is this token, unless the continuation begins with it
        start = self.prefix_token_id
        return ([start], tokens) if tokens[0] != start else (tokens[:1], tokens[1:])

    def _encode_together(self, texts: list[str]) -> None:
        """Encode each different text once, many at a time."""
        start = self.tokenizer.decode(self.prefix_token_id)
        self._encoded = {}
        # a chat template writes the first token itself
        for has_start in (False, True):
            chosen = sorted(
                {text for text in texts if text and text.startswith(start) == has_start}
            )
            if chosen:
                rows = self.tokenizer(
                    chosen,
                    add_special_tokens=not (has_start or self._chat),
                    return_attention_mask=False,
                )["input_ids"]
                self._encoded |= zip(chosen, rows, strict=True)

    def _loglikelihood_tokens(
        self, requests: list[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return (log-likelihood, is greedy) for each encoded request; see `HFLM`."""
        answers: dict[int, tuple[float, bool]] = {}
        rows: dict[tuple[int, ...], ScoredRow] = {}
        # request numbers, in the order of the continuations
        owners: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, (strings, context, continuation) in enumerate(requests):
            stored = self.store.get(["loglikelihood", *strings]) if self.store and strings else None
            if stored is not None:
                answers[number] = (stored[0], stored[1])
                continue
            # the last token is scored, not read
            self.check_room(len(context), len(continuation) - 1, "an answer's tokens,")
            tokens = (context + continuation)[:-1]
            rows.setdefault(tuple(tokens), ScoredRow(tokens=tokens)).continuations.append(
                continuation
            )
            owners[tuple(tokens)].append(number)
        unique = list(rows.values())
        with progress("log-likelihoods", len(requests), len(answers), disable_tqdm) as bar:
            for index, scores in score_rows(self.shared, unique, self.tokens_per_batch):
                for number, score in zip(owners[tuple(unique[index].tokens)], scores, strict=True):
                    answers[number] = score
                    strings = requests[number][0]
                    if self.store and strings:
                        self.store.add(["loglikelihood", *strings], score)
                bar.update(len(scores))
        return [answers[number] for number in range(len(requests))]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the greedy continuation of each request up to its stop sequences; see `HFLM`."""
        answers: dict[int, dict[str, Any]] = {}
        by_settings: dict[str, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            stored = self.store.get(["generate", *request.args]) if self.store else None
            if stored is not None:
                answers[number] = stored
            else:
                by_settings[repr(request.args[1])].append(number)
        with progress("generations", len(requests), len(answers), disable_tqdm) as bar:
            for numbers in by_settings.values():
                for number, answer in self._generate(
                    [requests[i].args[0] for i in numbers], requests[numbers[0]].args[1]
                ):
                    answers[numbers[number]] = answer
                    if self.store:
                        self.store.add(["generate", *requests[numbers[number]].args], answer)
                    bar.update()
        for number, request in enumerate(requests):
            self.truncated[request.args[0]] = answers[number]["truncated"]
        return [answers[number]["text"] for number in range(len(requests))]

    def _generate(
        self, prompts: list[str], settings: dict[str, Any]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (position in `prompts`, answer) as the generations of one kind end.

        Raises:
            ConfigurationError: the task asks for sampling.
            DataError: the longest prompt and the limit of new tokens exceed the model's context.
        """
        settings = normalize_gen_kwargs(settings, self.max_gen_toks)
        if settings.get("do_sample"):
            raise ConfigurationError(
                "the task asks for sampling (do_sample: true); evaluation tasks are greedy"
            )
        limit = settings["max_gen_toks"]
        until = handle_stop_sequences(
            settings.get("until"), eos=self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        )
        stop = StopAt(self.tokenizer, self._end_ids, until)
        wanted = [
            GenerationRequest(
                tokens=self.tok_encode(prompt), max_new_tokens=limit, is_complete=stop
            )
            for prompt in prompts
        ]
        self.check_room(max(len(request.tokens) for request in wanted), limit, "max_new_tokens")
        for number, generation in self.generate(wanted):
            text = postprocess_generated_text(self.tok_decode(generation.tokens), until, None)
            yield (
                number,
                {"text": text, "tokens": len(generation.tokens), "truncated": generation.truncated},
            )


def progress(what: str, total: int, done: int, disable: bool) -> "tqdm[None]":
    """Return a progress bar on stderr that starts at what an earlier run had finished."""
    return tqdm(
        total=total, initial=done, desc=what, disable=disable, file=sys.stderr, mininterval=1
    )
