"""An lm-evaluation-harness model that encodes shared few-shot prefixes once; answers equal those of the harness' own."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from peft import PeftModel
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.errors import ConfigurationError
from lorabench.evaluation.grouped_passes import generate_rows, score_rows
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.shared_prefix_model import GenerationRequest, ScoredRow, SharedPrefixModel
from lorabench.evaluation.stopping import StopAt, end_token_ids

Encoded = tuple[tuple[str, str] | None, list[int], list[int]]  # strings, context tokens, continuation tokens


class PrefixCacheLM(HFLM):
    """`HFLM` with the two computing methods replaced.

    Args:
        model: base, merged or unmerged PeftModel, on its device.
        tokenizer: the model's tokenizer.
        tokens_per_batch: padded tokens in a forward pass, a shared prefix not counted; for generation, tokens whose keys
            and values are held at once.
        store: answers of earlier, interrupted runs; None = nothing is kept.
        max_new_tokens: limit of a generation where the task sets none.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokens_per_batch: int,
        store: ResponseStore | None = None,
        max_new_tokens: int = 256,
    ) -> None:
        super().__init__(pretrained=model, tokenizer=tokenizer, backend="causal")
        self.shared = SharedPrefixModel(model)
        self.tokens_per_batch = tokens_per_batch
        self.store = store
        self.max_new_tokens = max_new_tokens
        self.truncated: dict[str, bool] = {}  # prompt -> the token limit ended its generation
        self._encode = lru_cache(maxsize=8)(super().tok_encode)
        self._end_ids = end_token_ids(self.shared.model, tokenizer)

    @property
    def max_gen_toks(self) -> int:
        """Limit of a generation where the task sets none (the harness' own is 256)."""
        return self.max_new_tokens

    def get_model_info(self) -> dict[str, Any]:
        """Return nothing: the harness would ask the hub for the revision of a model that is loaded from a folder."""
        return {}

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Encode a text; the choices of a question repeat its context, which is encoded once."""
        return super().tok_encode(string, *args, **kwargs) if args or kwargs else self._encode(string)

    def _loglikelihood_tokens(
        self, requests: list[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return (log-likelihood, is greedy) for each request; see `HFLM` for the arguments."""
        answers: dict[int, tuple[float, bool]] = {}
        rows: dict[tuple[int, ...], ScoredRow] = {}
        owners: dict[tuple[int, ...], list[int]] = defaultdict(list)  # request numbers, in the order of the continuations
        for number, (strings, context, continuation) in enumerate(requests):
            stored = self.store.get(["loglikelihood", *strings]) if self.store and strings else None
            if stored is not None:
                answers[number] = (stored[0], stored[1])
                continue
            tokens = (context + continuation)[-(self.max_length + 1) :][:-1]
            rows.setdefault(tuple(tokens), ScoredRow(tokens=tokens)).continuations.append(continuation)
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
        """Return the greedy continuation of each request up to its stop sequences; see `HFLM` for the requests."""
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
                for number, answer in self._generate([requests[i].args[0] for i in numbers], requests[numbers[0]].args[1]):
                    answers[numbers[number]] = answer
                    if self.store:
                        self.store.add(["generate", *requests[numbers[number]].args], answer)
                    bar.update()
        for number, request in enumerate(requests):
            self.truncated[request.args[0]] = answers[number]["truncated"]
        return [answers[number]["text"] for number in range(len(requests))]

    def _generate(self, prompts: list[str], settings: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (position in `prompts`, answer) in the order in which the generations of one kind end.

        Raises:
            ConfigurationError: the task asks for sampling.
        """
        settings = normalize_gen_kwargs(settings, self.max_gen_toks)
        if settings.get("do_sample"):
            raise ConfigurationError("the task asks for sampling (do_sample: true); evaluation tasks are greedy")
        limit = settings["max_gen_toks"]
        until = handle_stop_sequences(settings.get("until"), eos=self.tok_decode(self.eot_token_id, skip_special_tokens=False))
        stop = StopAt(self.tokenizer, self._end_ids, until)
        room = self.max_length - limit
        wanted = [
            GenerationRequest(tokens=self.tok_encode(prompt)[-room:], max_new_tokens=limit, is_complete=stop)
            for prompt in prompts
        ]
        for number, generation in generate_rows(self.shared, wanted, self.tokens_per_batch):
            text = postprocess_generated_text(self.tok_decode(generation.tokens), until, None)
            yield number, {"text": text, "tokens": len(generation.tokens), "truncated": generation.truncated}


def progress(what: str, total: int, done: int, disable: bool) -> "tqdm[None]":
    """Return a progress bar on stderr that starts at what an earlier run had finished."""
    return tqdm(total=total, initial=done, desc=what, disable=disable, file=sys.stderr, mininterval=1)
