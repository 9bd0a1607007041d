"""The local judge: probabilities of strings, batches, the model's own probabilities."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from judging.fake_judge import FakeJudge, instruction_answer, judge_settings
from judging.served_model import WORDS, ServedModel
from lorabench.judging.alpaca_eval import compare_pairs, pairs_to_judge, read_messages
from lorabench.judging.choices import choice_log_probabilities, encode_choices
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.judges import open_judge
from lorabench.judging.local import LocalJudge
from lorabench.judging.mt_bench import RATING_START, RATINGS
from lorabench.judging.store import AnswerStore


def word_tokenizer(split: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer over digits, "10" and brackets."""
    words = ["?", "Rating", ":", "[[", "]]", "m", "M", "10", *map(str, range(10))]
    tokenizer = Tokenizer(
        WordLevel({word: index for index, word in enumerate(words)}, unk_token="?")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_ten_as_two_tokens_takes_its_mass_from_one() -> None:
    """With single digits P(10) = P(1) P(0|1) and P(1) loses that much."""
    choices = encode_choices(word_tokenizer(r"\d|\w+|\[\[|:"), RATINGS, RATING_START)
    assert choices.appended == choices.tokens["1"]
    table = torch.full((2, 18), 0.01)
    for rating in range(1, 10):
        table[0, choices.tokens[str(rating)][0]] = 0.1
    table[1, choices.tokens["10"][1]] = 0.25
    found = choice_log_probabilities(choices.tokens, table.log())
    assert math.exp(found["10"]) == pytest.approx(0.025)
    assert math.exp(found["1"]) == pytest.approx(0.075)
    assert math.exp(found["2"]) == pytest.approx(0.1)


def test_ten_as_one_token_keeps_every_probability() -> None:
    """With "10" in the vocabulary nothing is appended and "1" keeps its probability."""
    choices = encode_choices(word_tokenizer(r"\d+|\w+|\[\[|:"), RATINGS, RATING_START)
    assert choices.appended == []
    assert len(choices.tokens["10"]) == 1
    found = choice_log_probabilities(choices.tokens, torch.full((1, 18), 0.05).log())
    assert {round(math.exp(value), 6) for value in found.values()} == {0.05}


@pytest.fixture
def model_source(tiny_model: Path) -> Path:
    """Return source.json of the tiny checkpoint."""
    return tiny_model / "source.json"


def requests(count: int) -> list[JudgeRequest]:
    """Return rating requests of different lengths."""
    parameters = {"assistant_prefix": RATING_START, "choices": RATINGS}
    return [
        JudgeRequest(
            item=str(n),
            messages=[
                {"role": "system", "content": "You are a judge."},
                {"role": "user", "content": "Rate this text. " * (1 + n % 7) + str(n)},
            ],
            parameters=parameters,
        )
        for n in range(count)
    ]


def ask(source: Path, store: Path, given: list[JudgeRequest], **changes: Any) -> list[Reply]:
    """Return the local judge's replies."""
    settings = judge_settings(FakeJudge(), kind="local", **changes)
    with AnswerStore(store, "local") as answers:
        return LocalJudge(source, settings, answers).ask(given)


def test_scores_equal_generation_probabilities(model_source: Path, tmp_path: Path) -> None:
    """Each choice has the plain model's probability of its tokens."""
    given = requests(6)
    replies = ask(model_source, tmp_path, given)
    tokenizer = AutoTokenizer.from_pretrained(model_source.parent)
    network = AutoModelForCausalLM.from_pretrained(model_source.parent, dtype=torch.float32).eval()

    def probability(ids: list[int], text: str) -> float:
        total = 0.0
        for token in tokenizer.encode(text, add_special_tokens=False):
            with torch.inference_mode():
                logits = network(torch.tensor([ids])).logits[0, -1]
            total += float(torch.log_softmax(logits, -1)[token])
            ids = [*ids, token]
        return math.exp(total)

    for request, reply in zip(given, replies, strict=True):
        chat = tokenizer.apply_chat_template(
            request.messages, tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer.encode(str(chat) + RATING_START, add_special_tokens=False)
        strings = {rating: probability(ids, rating) for rating in RATINGS}
        if len(tokenizer.encode("10", add_special_tokens=False)) == 2:
            strings["1"] -= strings["10"]
        assert reply.log_probabilities is not None
        found = {rating: math.exp(value) for rating, value in reply.log_probabilities.items()}
        assert found == pytest.approx(strings, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_rating_depends_on_its_item_only(model_source: Path, tmp_path: Path, dtype: str) -> None:
    """Bit-equal after a kill, in another order, and next to other items."""
    given = requests(9)
    whole = ask(model_source, tmp_path / "a", given, dtype=dtype)
    expected = [reply.log_probabilities for reply in whole]
    store = tmp_path / "killed"
    ask(model_source, store, given, dtype=dtype)
    lines = (store / "local.jsonl").read_text().splitlines(keepends=True)
    (store / "local.jsonl").write_text("".join(lines[:4]) + lines[4][:30])
    resumed = ask(model_source, store, given, dtype=dtype)
    assert [reply.log_probabilities for reply in resumed] == expected
    assert sum(reply.cached for reply in resumed) == 4
    more = ask(model_source, tmp_path / "more", requests(12)[::-1], dtype=dtype)
    assert [reply.log_probabilities for reply in more[::-1]][:9] == expected
    one = [ask(model_source, tmp_path / r.item, [r], dtype=dtype)[0] for r in given[:3]]
    assert [reply.log_probabilities for reply in one] == expected[:3]


def test_a_complete_store_needs_no_model(model_source: Path, tmp_path: Path) -> None:
    """The weights are not looked for, and equal requests are one answer."""
    store = tmp_path / "store"
    ask(model_source, store, requests(3) * 2)
    assert len((store / "local.jsonl").read_text().splitlines()) == 3
    moved = tmp_path / "no-model" / "source.json"
    moved.parent.mkdir()
    moved.write_bytes(model_source.read_bytes())
    assert all(reply.cached for reply in ask(moved, store, requests(3)))


def test_too_long_prompt_is_a_failure_of_its_item(model_source: Path, tmp_path: Path) -> None:
    """A prompt beyond the model's context is not cut silently; the others are judged."""
    given = requests(2)
    given[0].messages[1]["content"] = "word " * 20000
    replies = ask(model_source, tmp_path, given)
    assert [reply.outcome for reply in replies] == ["failed", "answered"]
    assert "reads at most 8192" in (replies[0].reason or "")


def test_served_model_gives_the_local_judges_preference(
    small_judge: Path,
    served_model: ServedModel,
    tmp_path: Path,
    benchmark_folder: Path,
    judge_server: FakeJudge,
) -> None:
    """A model behind the OpenAI interface and read locally prefers the same output."""
    judge_server.respond = served_model.respond
    answers = [instruction_answer(n, f"A longer answer about {n}.") for n in range(5)]
    messages = read_messages(benchmark_folder / "judge_prompt.txt")
    references = {answer.id: "It is so." for answer in answers}
    scores = {}
    asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": len(WORDS)}
    for kind, parameters in (
        ("openai", asked),
        ("local", {"assistant_prefix": "", "choices": ["m", "M"]}),
    ):
        pairs = pairs_to_judge(answers, references, messages, parameters, both_orders=True)
        with AnswerStore(tmp_path / kind, "w") as store:
            settings = judge_settings(judge_server, kind=kind)
            rows, _ = compare_pairs(open_judge(settings, store, small_judge), pairs, 0)
        scores[kind] = [row.score for row in rows]
    assert scores["openai"] == pytest.approx(scores["local"], rel=1e-4)
    assert len(judge_server.requests) == 10
