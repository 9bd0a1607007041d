"""The prefix-sharing model answers as the harness' own HFLM does, for all variants."""

import copy
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from device_reads import DeviceReads
from lorabench.captured import Captured
from lorabench.errors import DataError
from lorabench.evaluation import fixed_steps
from lorabench.evaluation.grouped_passes import slots_for
from lorabench.evaluation.prefix_cache_lm import PrefixCacheLM
from lorabench.evaluation.response_store import ResponseStore
from lorabench.evaluation.shared_prefix_model import SharedPrefixModel

pytest_plugins = ["evaluation_fixtures"]

SHOTS = [
    " ".join(f"Question: What is {n} + {m}?\nAnswer: {n + m}\n\n" for n in range(12))
    for m in (3, 40)
]


def requests(kind: str, arguments: list[tuple[object, ...]]) -> list[Instance]:
    """Return harness requests."""
    return [Instance(kind, {}, argument, index) for index, argument in enumerate(arguments)]


def choices() -> list[Instance]:
    """Return requests: two sets of shots, continuations of one and several tokens."""
    contexts = [SHOTS[n % 2] + f"Question: What is {'very ' * n}large?\nAnswer:" for n in range(9)]
    pairs = [
        (context, answer) for context in contexts for answer in (" A", " B", " forty two and more")
    ]
    return requests(
        "loglikelihood",
        [*pairs, ("", "Hello there"), ("Short", "er"), ("trailing ", "space"), pairs[0]],
    )


def prompts(until: list[str], limit: int) -> list[Instance]:
    """Return generation requests of unlike lengths on two sets of shots."""
    settings = {"until": until, "do_sample": False, "max_gen_toks": limit}
    texts = [SHOTS[n % 2] + f"Question: {'How ' * (3 * n % 7)}many?\nAnswer:" for n in range(10)]
    return requests("generate_until", [(text, settings) for text in texts])


@pytest.fixture(params=["base", "unmerged", "merged"])
def model(
    request: pytest.FixtureRequest, base: PreTrainedModel, adapted: PeftModel
) -> PreTrainedModel | PeftModel:
    """Return each kind of model in turn."""
    if request.param == "merged":
        return copy.deepcopy(adapted).merge_and_unload()
    return base if request.param == "base" else adapted


def test_log_likelihoods_equal_the_stock_ones(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """In float32 every log-likelihood agrees to 1e-4 and every greedy flag is the same."""
    asked = choices()
    stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2).loglikelihood(
        asked, disable_tqdm=True
    )
    ours = PrefixCacheLM(model, tokenizer, tokens_per_batch=200).loglikelihood(
        asked, disable_tqdm=True
    )
    assert [flag for _, flag in ours] == [flag for _, flag in stock]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in stock], abs=1e-4)


def test_generations_equal_the_stock_ones(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """In float32 every greedy text is the stock model's, stop strings included."""
    asked = prompts(["the", "Question:"], 30)
    stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(
        asked, disable_tqdm=True
    )
    ours = PrefixCacheLM(model, tokenizer, tokens_per_batch=200).generate_until(
        asked, disable_tqdm=True
    )
    assert ours == stock


def test_fixed_shapes_give_the_same_texts(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU's rounded shapes change no text, count no added token and could be captured."""
    monkeypatch.setattr(fixed_steps, "REACH", 8)
    run, passes = fixed_steps.FixedSteps._run, []

    def watched(steps: fixed_steps.FixedSteps, shape: tuple[int, int]) -> None:
        with DeviceReads() as reads:
            run(steps, shape)
        passes.append(reads.found)

    monkeypatch.setattr(fixed_steps.FixedSteps, "_run", watched)
    asked = prompts(["the", "Question:"], 30)
    usual = PrefixCacheLM(model, tokenizer, tokens_per_batch=400)
    fixed = PrefixCacheLM(model, tokenizer, tokens_per_batch=400)
    fixed.shared.fixed_shapes = True
    assert fixed.generate_until(asked, disable_tqdm=True) == usual.generate_until(
        asked, disable_tqdm=True
    )
    assert fixed.shared.tokens_computed == usual.shared.tokens_computed
    assert passes and not any(passes)


def test_shapes_are_few() -> None:
    """Rows become powers of two, reach a multiple, both within what there is."""
    assert fixed_steps.rounded(1, 1, 200, 1000) == (1, 256)
    assert fixed_steps.rounded(5, 257, 200, 1000) == (8, 512)
    assert fixed_steps.rounded(130, 900, 200, 1000) == (200, 1000)


def test_steps_that_cannot_be_captured_are_launched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A capture that fails is one warning, and all steps run without it from then on."""

    class Refusing(Captured):
        def _capture(self) -> torch.cuda.CUDAGraph:
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(fixed_steps, "Captured", Refusing)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    steps = fixed_steps.FixedSteps(
        lambda ids, places, reach: (ids + places).float(), 4, 50, torch.device("cpu"), captured=True
    )
    assert steps([5, 6, 7], [1, 2, 3]).tolist() == [[6.0], [8.0], [10.0]]
    assert steps([5], [1]).tolist() == [[6.0]]
    assert not steps.captured
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_rows_follow_free_memory_on_a_gpu(
    base: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """auto fills 0.7 of the free memory, at most 256 rows; a number stays what it says."""
    model = SharedPrefixModel(base)
    config = base.config
    size = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    assert model.bytes_per_token == size
    assert slots_for(model, "auto", 1000) == 32
    assert slots_for(model, 5000, 1000) == 5
    monkeypatch.setattr(model, "free_bytes", lambda: 1000 * size * 100.0)
    assert slots_for(model, "auto", 1000) == 70
    assert slots_for(model, "auto", 10) == 256
    assert slots_for(model, "auto", 10**9) == 1


def test_rolling_log_likelihoods_equal_the_stock_ones(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """The third method of the harness goes through the same code."""
    asked = requests(
        "loglikelihood_rolling",
        [("A text of some words.",), ("Another, somewhat longer text of more words.",)],
    )
    stock = HFLM(pretrained=base, tokenizer=tokenizer, batch_size=1).loglikelihood_rolling(
        asked, disable_tqdm=True
    )
    ours = PrefixCacheLM(base, tokenizer, tokens_per_batch=200).loglikelihood_rolling(
        asked, disable_tqdm=True
    )
    assert ours == pytest.approx(stock, abs=1e-4)


def test_shared_prefixes_are_computed_once(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """The tokens that go through the model are a fraction of the tokens of all prompts."""
    asked = choices()
    lm = PrefixCacheLM(base, tokenizer, tokens_per_batch=200)
    lm.loglikelihood(asked, disable_tqdm=True)
    distinct = {request.args[0] for request in asked}
    assert lm.shared.tokens_computed < 0.5 * sum(len(tokenizer.encode(text)) for text in distinct)


def test_the_usual_attention_is_back_afterwards(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """The model is left as it came, so that other code can use it."""
    before = base(torch.tensor([[1, 2, 3]])).logits
    PrefixCacheLM(base, tokenizer, tokens_per_batch=200).loglikelihood(
        choices()[:3], disable_tqdm=True
    )
    assert base.config._attn_implementation == "sdpa"
    torch.testing.assert_close(base(torch.tensor([[1, 2, 3]])).logits, before)


def test_a_window_of_attention_is_the_context(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our passes attend to everything, so a longer prompt would get answers of another model."""
    monkeypatch.setattr(base.config, "sliding_window", 64, raising=False)
    lm = PrefixCacheLM(base, tokenizer, tokens_per_batch=200)
    with pytest.raises(DataError, match="exceed the model's context of 64 tokens"):
        lm.loglikelihood(choices()[:3], disable_tqdm=True)


def test_truncation_is_recorded(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """A generation that ends at the token limit is marked, one that meets a stop string is not."""
    lm = PrefixCacheLM(base, tokenizer, tokens_per_batch=200)
    endless = lm.generate_until(prompts([], 5), disable_tqdm=True)
    assert sum(lm.truncated.values()) == len(lm.truncated) == len(endless)
    letter = max("etaoin", key=lambda text: sum(text in answer for answer in endless))
    lm = PrefixCacheLM(base, tokenizer, tokens_per_batch=200)
    stopped = lm.generate_until(prompts([letter], 5), disable_tqdm=True)
    cut = list(lm.truncated.values())
    assert cut == [letter not in answer for answer in endless]
    assert not any(letter in answer for answer in stopped)


def test_stored_answers_are_not_computed_again(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """A second run computes no token; a larger one computes only what is new."""
    scored, generated = choices(), prompts(["the"], 8)
    answers = []
    computed = []
    for part in (5, None, None):
        with ResponseStore(tmp_path / "store.jsonl", {"model": "tiny"}) as store:
            lm = PrefixCacheLM(base, tokenizer, tokens_per_batch=200, store=store)
            answers.append(
                (
                    lm.loglikelihood(scored[:part], disable_tqdm=True),
                    lm.generate_until(generated[:part], disable_tqdm=True),
                )
            )
            computed.append(lm.shared.tokens_computed)
    assert computed[0] > 0
    assert computed[1] > 0
    assert computed[2] == 0
    assert answers[2] == answers[1]
    assert answers[1][1][:5] == answers[0][1]


def test_a_chat_begins_as_its_template_says(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """A template that writes no first token gets none, as in training; one that does keeps one."""
    other = copy.deepcopy(tokenizer)
    for template, count in (
        (tokenizer.chat_template, 1),
        ("{% for m in messages %}{{ m['content'] }}<|eot_id|>{% endfor %}", 0),
    ):
        other.chat_template = template
        lm = PrefixCacheLM(base, other, tokens_per_batch=200)
        assert lm.tok_encode("Hi")[0] == other.bos_token_id
        text = lm.apply_chat_template([{"role": "user", "content": "Hi"}])
        lm._encode_together([text])
        for ids in (lm._encoded[text], lm.tok_encode(text), lm.tok_encode(text + " A")):
            assert len([token for token in ids if token == other.bos_token_id]) == count
