"""Generate a chat model's answers to questions, turn by turn, all questions of a turn together."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from lorabench.documents.answer import Answer
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
from lorabench.evaluation.stopping import StopAt, end_token_ids


@dataclass(kw_only=True)
class _Dialogue:
    """A question and what was answered so far."""

    question: Question
    replies: list[dict[str, Any]] = field(
        default_factory=list
        # text, tokens, truncated; one a turn
    )

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
        model: the variant.
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
        self.config = model.model.generation_config
        self.stop = StopAt(tokenizer, end_token_ids(model.model, tokenizer))

    def answer(self, questions: Mapping[int, Question]) -> list[Answer]:
        """Return an answer to each question, in order; the keys are the questions' indices in the
        benchmark.

        Raises:
            DataError: a prompt and the longest answer do not fit the model's context.
        """
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
            messages = dialogue.messages()
            prompt = str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
            key = ["chat", dialogue.question.id, prompt]
            stored = self.store.get(key)
            if stored is not None:
                dialogue.replies.append(stored)
                bar.update()
                continue
            waiting.append(dialogue)
            keys.append(key)
            requests.append(self._request(dialogue, prompt))
        for index, generation in self.generate(requests):
            reply = self._reply(generation)
            self.store.add(keys[index], reply)
            waiting[index].replies.append(reply)
            bar.update()

    def _request(self, dialogue: _Dialogue, prompt: str) -> GenerationRequest:
        question, turn = dialogue.question, len(dialogue.replies) + 1
        tokens = self.tokenizer.encode(
            prompt,
            add_special_tokens=False,
            # the template writes the special tokens itself
        )
        new, room = (
            self.settings.benchmark.max_new_tokens,
            self.model.model.config.max_position_embeddings,
        )
        if len(tokens) + new > room:
            raise DataError(
                f"question {question.id}, turn {turn}: {len(tokens)} prompt tokens and"
                f" max_new_tokens {new} exceed the model's context of {room} tokens; lower"
                " generate_answers.*.max_new_tokens"
            )
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
