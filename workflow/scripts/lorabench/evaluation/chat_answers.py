"""Generate a chat model's answers to questions, turn by turn, all questions of a turn together."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from lorabench.chat import encode_chat, render_chat
from lorabench.context import context_length
from lorabench.documents.answer import Answer
from lorabench.end_tokens import end_token_ids
from lorabench.errors import DataError
from lorabench.evaluation.grouped_passes import Generate, generate_rows
from lorabench.evaluation.questions import Question
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.sampling import SeededSampler
from lorabench.evaluation.settings import GenerateAnswersSettings
from lorabench.evaluation.shared_prefix_model import (
    Generation,
    GenerationRequest,
    SharedPrefixModel,
)
from lorabench.evaluation.stopping import StopAt


@dataclass(kw_only=True)
class _Dialogue:
    """A question and what was answered so far."""

    question: Question
    # text, tokens, truncated; one a turn
    replies: list[dict[str, Any]] = field(default_factory=list)

    def messages(self) -> list[dict[str, str]]:
        """Return the messages up to the user's next turn, with the model's own earlier replies."""
        messages = []
        for number, turn in enumerate(self.question.turns[: len(self.replies) + 1]):
            messages.append({"role": "user", "content": turn})
            if number < len(self.replies):
                messages.append({"role": "assistant", "content": self.replies[number]["text"]})
        return messages


class ChatAnswerer:
    """A chat model that answers questions.

    Args:
        model: the variant; its weights are asked for when an answer is missing.
        tokenizer: with a chat template.
        settings: limits, budget and seed.
        store: answers of earlier, interrupted runs.
        generate: another engine than our own passes; `model` then needs no weights.
    """

    def __init__(
        self,
        model: SharedPrefixModel,
        tokenizer: PreTrainedTokenizerBase,
        settings: GenerateAnswersSettings,
        store: ResponseStore,
        generate: Generate | None = None,
    ) -> None:
        self.model = model
        self.generate = generate or partial(
            generate_rows, model, tokens_per_batch=settings.tokens_per_batch
        )
        self.tokenizer = tokenizer
        self.settings = settings
        self.store = store
        self.config = model.outline.generation_config
        self.stop = StopAt(tokenizer, end_token_ids(self.config, tokenizer))
        # None: the architecture has no limit
        self.room = context_length(model.outline.config.to_dict())
        # later turns whose limit of new tokens is what the context leaves, not max_new_tokens
        self.turns_with_less_room = 0

    def answer(self, questions: Mapping[int, Question]) -> list[Answer]:
        """Return an answer to each question, in order; keys are the questions' indices.

        Raises:
            DataError: a prompt and the longest answer do not fit the model's context.
        """
        for question in questions.values():
            self._check_room(question)
        dialogues = {index: _Dialogue(question=question) for index, question in questions.items()}
        total = sum(len(question.turns) for question in questions.values())
        with tqdm(total=total, desc="answers", file=sys.stderr, mininterval=1) as bar:
            for turn in range(
                max((len(question.turns) for question in questions.values()), default=0)
            ):
                self._answer_turn(
                    [one for one in dialogues.values() if turn < len(one.question.turns)], bar
                )
        return [_to_answer(index, dialogue) for index, dialogue in dialogues.items()]

    def _answer_turn(self, dialogues: list[_Dialogue], bar: "tqdm[None]") -> None:
        """Add the next reply to each dialogue, from the store or from the model."""
        waiting: list[_Dialogue] = []
        keys: list[list[Any]] = []
        requests: list[GenerationRequest] = []
        for dialogue in dialogues:
            prompt = render_chat(self.tokenizer, dialogue.messages(), prompt=True)
            key = ["chat", dialogue.question.id, prompt]
            request = self._request(dialogue, prompt)
            stored = self.store.get(key)
            if stored is not None:
                dialogue.replies.append(stored)
                bar.update()
                continue
            waiting.append(dialogue)
            keys.append(key)
            requests.append(request)
        for index, generation in self.generate(requests) if requests else ():
            reply = self._reply(generation)
            self.store.add(keys[index], reply)
            waiting[index].replies.append(reply)
            bar.update()

    def _check_room(self, question: Question) -> None:
        """Check before generating that each turn has room, the first one all of it.

        Raises:
            DataError: they have not.
        """
        if self.room is None:
            return
        new, messages = self.settings.benchmark.max_new_tokens, []
        for turn, text in enumerate(question.turns, start=1):
            messages.append({"role": "user", "content": text})
            tokens = len(encode_chat(self.tokenizer, messages)) + (turn - 1) * new
            if tokens + (new if turn == 1 else 1) > self.room:
                raise self._no_room(question, turn, tokens)
            messages.append({"role": "assistant", "content": ""})

    def _no_room(self, question: Question, turn: int, tokens: int) -> DataError:
        earlier = ", earlier answers of full length counted," if turn > 1 else ""
        return DataError(
            f"question {question.id}, turn {turn}: {tokens} prompt tokens{earlier} and"
            f" max_new_tokens {self.settings.benchmark.max_new_tokens} exceed the model's context"
            f" of {self.room} tokens; lower generate_answers.*.max_new_tokens"
        )

    def _request(self, dialogue: _Dialogue, prompt: str) -> GenerationRequest:
        question, turn = dialogue.question, len(dialogue.replies) + 1
        # the template writes the special tokens itself
        tokens = self.tokenizer.encode(prompt, add_special_tokens=False)
        new = self.settings.benchmark.max_new_tokens
        if self.room is not None and len(tokens) + new > self.room:
            new = self.room - len(tokens)
            self.turns_with_less_room += 1
            if new < 1:
                raise self._no_room(question, turn, len(tokens))
        choose = None
        if question.temperature > 0:
            choose = SeededSampler(
                question.temperature, self.config, self.settings.seed, f"{question.id}:{turn}"
            )
        return GenerationRequest(
            tokens=tokens, max_new_tokens=new, is_complete=self.stop, choose=choose
        )

    def _reply(self, generation: Generation) -> dict[str, Any]:
        text = str(self.tokenizer.decode(generation.tokens, skip_special_tokens=True)).strip()
        count = len(generation.tokens) - (0 if generation.truncated else 1)
        return {"text": text, "tokens": count, "truncated": generation.truncated}


def _to_answer(index: int, dialogue: _Dialogue) -> Answer:
    question = dialogue.question
    return Answer(
        index=index,
        id=question.id,
        category=question.category,
        prompts=question.turns,
        outputs=[reply["text"] for reply in dialogue.replies],
        output_tokens=[reply["tokens"] for reply in dialogue.replies],
        truncated=[reply["truncated"] for reply in dialogue.replies],
        temperature=question.temperature,
    )
