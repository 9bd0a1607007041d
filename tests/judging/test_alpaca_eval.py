"""AlpacaEval judging: order of outputs, the judge's prompt, and its preferences."""

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import instruction_answer
from lorabench.errors import DataError
from lorabench.judging.alpaca_eval import (
    Pair,
    compare_pairs,
    fill_in,
    pairs_to_judge,
    preference_for_first,
    read_messages,
    read_references,
    shows_variant_first,
)
from lorabench.judging.exchange import JudgeRequest, Reply


class ScriptedJudge:
    """Prefers the output that is shown first with the given probability, or answers as scripted."""

    kind = "openai"
    model = "scripted"
    estimated_usd = 0.0

    def __init__(self, first: float = 0.8, replies: list[Reply] | None = None) -> None:
        self.first = first
        self.replies = replies
        self.asked: list[JudgeRequest] = []

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return one reply a request."""
        self.asked += requests
        weighted = Reply(
            outcome="answered",
            log_probabilities={"m": math.log(self.first), "M": math.log(1 - self.first)},
        )
        return self.replies or [weighted for _ in requests]


# Drawn by alpaca_eval 0.6.6's own RandomSwitchTwoColumnsProcessor (seed 0, column
# is_switched_outputs) on these texts.
ORDERS = {
    "What is 2+2?": False,
    "Write a haiku about rain.": False,
    "Name three rivers in Europe.": False,
    "Explain photosynthesis to a child.": True,
    "Translate 'good morning' into French.": True,
    "¿Qué hora es?": False,
}


@pytest.mark.parametrize(("instruction", "switched"), ORDERS.items())
def test_order_is_alpaca_evals(instruction: str, switched: bool) -> None:
    """The drawn order equals what the package draws."""
    assert shows_variant_first(instruction) is switched


def test_order_of_all_real_instructions(annotations: list[dict[str, Any]]) -> None:
    """406 of 805 real instructions show the variant first (origin: alpaca_eval 0.6.6)."""
    orders = [shows_variant_first(row["instruction"]) for row in annotations]
    assert sum(orders) == 406
    digest = "49bd8605e489d8aeca2391df556e38fb2034daee32dc8f827a5295188b785e35"
    assert hashlib.sha256(bytes(orders)).hexdigest() == digest


def test_real_answers_of_gpt4_give_the_published_preferences(
    annotations: list[dict[str, Any]],
) -> None:
    """801 real judge answers give each published preference to 1e-9; win rate 6.72."""
    worst, wins = 0.0, []
    for row in annotations:
        wins.append(row["preference"] - 1)
        if not row["raw_completion"] or not row["raw_completion"].get("logprobs"):
            continue
        top = row["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]
        found = {entry["token"]: entry["logprob"] for entry in top}
        first, kind = preference_for_first(Reply(outcome="answered", log_probabilities=found))
        assert first is not None and kind == "weighted"
        variant = first if shows_variant_first(row["instruction"]) else 1 - first
        worst = max(worst, abs(variant - wins[-1]))
    assert worst < 1e-9
    assert 100 * sum(wins) / len(wins) == pytest.approx(6.72, abs=5e-3)


def test_package_builds_the_same_messages_and_order(annotations: list[dict[str, Any]]) -> None:
    """With the package installed: its prompt, its order and ours are equal for 805 real pairs."""
    utils = pytest.importorskip("alpaca_eval.utils", reason="needs alpaca-eval==0.6.6")
    processors = pytest.importorskip("alpaca_eval.processors")
    pandas = pytest.importorskip("pandas")
    package = Path(utils.__file__).parent
    file = package / "evaluators_configs" / "alpaca_eval_clf_gpt4_turbo" / "alpaca_eval_clf.txt"
    frame = pandas.DataFrame(annotations)[["instruction", "output_1", "output_2"]]
    switch = processors.RandomSwitchTwoColumnsProcessor(
        two_columns_to_switch=["output_1", "output_2"],
        random_seed_columns=["instruction"],
        _switch_column="is_switched_outputs",
        seed=0,
    )
    prompts, _ = utils.make_prompts(switch.preprocess(frame), file.read_text())
    messages = read_messages(file)
    for row, prompt in zip(annotations, prompts, strict=True):
        pair = (row["output_1"], row["output_2"])
        first, second = pair[::-1] if shows_variant_first(row["instruction"]) else pair
        assert fill_in(messages, row["instruction"], first, second) == utils.prompt_to_chatml(
            prompt
        )


def test_messages_are_filled_in_once(benchmark_folder: Path) -> None:
    """Placeholders and control tokens inside an output stay text."""
    messages = read_messages(benchmark_folder / "judge_prompt.txt")
    filled = fill_in(messages, "Say {output_1}.", "<|im_end|> {output_2}", "b")
    assert [message["role"] for message in filled] == ["system", "user"]
    shown = "Instruction: Say {output_1}.\n\nm: <|im_end|> {output_2}\n\nM: b\n\nThe better one"
    assert filled[1]["content"].startswith(shown)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("no blocks", "no <"), ("<|im_start|>user\n{instruction}<|im_end|>", "output_1")],
)
def test_wrong_prompt_file_is_named(tmp_path: Path, text: str, fault: str) -> None:
    """A prompt file of another format is an error with its path."""
    (tmp_path / "prompt.txt").write_text(text)
    with pytest.raises(DataError, match=fault):
        read_messages(tmp_path / "prompt.txt")


def test_missing_published_reference_says_what_to_do(tmp_path: Path) -> None:
    """The project's samples have no reference outputs; the error names the key to change."""
    (tmp_path / "i.jsonl").write_text('{"id": "alpaca-0", "reference_output": null}\n')
    with pytest.raises(DataError, match=r"i.jsonl:1: .*judge_alpaca_eval.reference"):
        read_references(tmp_path / "i.jsonl")


@pytest.mark.parametrize(
    ("text", "shares", "expected"),
    [
        ("", {"m": math.log(0.6), "M": math.log(0.2), "x": -1.0}, (0.75, "weighted")),
        ("", {"M": -0.1}, (0.0, "weighted")),
        ("m", {"The": -0.1}, (None, "weighted")),
        (" `m`.\n", None, (1.0, "binary")),
        ("M", None, (0.0, "binary")),
        ("I'm sure", None, (None, "binary")),
        ("", None, (None, "binary")),
    ],
)
def test_preference_of_an_answer(text: str, shares: Any, expected: Any) -> None:
    """Log-probabilities are weighted; a bare letter is binary; anything else is no preference."""
    reply = Reply(outcome="answered", text=text, log_probabilities=shares)
    assert preference_for_first(reply) == pytest.approx(expected)


def pairs_of(folder: Path, output: str = "mine", count: int = 1, both: bool = True) -> list[Pair]:
    """Return pairs of the same output and one that says "theirs"."""
    messages = read_messages(folder / "judge_prompt.txt")
    answers = [instruction_answer(n, output) for n in range(count)]
    return pairs_to_judge(answers, {a.id: "theirs" for a in answers}, messages, {}, both)


def test_score_is_for_the_variant_whatever_the_order(benchmark_folder: Path) -> None:
    """A judge that always takes the first output gives 0.8 where the variant is first, else 0.2."""
    pairs = pairs_of(benchmark_folder, count=12, both=False)
    rows, _ = compare_pairs(ScriptedJudge(), pairs, 0)
    expected = [0.8 if shows_variant_first(pair.answer.prompts[0]) else 0.2 for pair in pairs]
    assert [row.score for row in rows] == pytest.approx(expected)
    assert 0 < sum(row.score == pytest.approx(0.8) for row in rows) < 12


def test_both_orders_cancel_a_position_preference(benchmark_folder: Path) -> None:
    """The same judge asked in both orders gives one half."""
    rows, replies = compare_pairs(ScriptedJudge(), pairs_of(benchmark_folder), 0)
    assert len(replies) == 2
    assert rows[0].score == pytest.approx(0.5)


def test_identical_outputs_are_half_without_a_question(benchmark_folder: Path) -> None:
    """Nothing is asked about equal outputs."""
    judge = ScriptedJudge()
    rows, _ = compare_pairs(judge, pairs_of(benchmark_folder, "theirs"), 0)
    assert (rows[0].score, rows[0].detail["identical"], judge.asked) == (0.5, True, [])


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("refused", "judge_refused"), ("failed", "judge_failed"), ("answered", "judge_unparsed")],
)
def test_failures_have_no_score(benchmark_folder: Path, outcome: str, expected: str) -> None:
    """One order without a preference leaves the pair without a score, as a named failure."""
    good, bad = Reply(outcome="answered", text="m"), Reply(outcome=outcome, text="hm", reason="r")
    rows, _ = compare_pairs(ScriptedJudge(replies=[good, bad]), pairs_of(benchmark_folder), 0)
    assert (rows[0].score, rows[0].outcome) == (None, expected)
    assert rows[0].detail["orders"][1]["reason"] == "r"
