"""A model's context is known to every stage: nothing loses its beginning silently."""

from pathlib import Path
from typing import Any

import pytest

from evaluate_task import evaluate_task
from lorabench.control.context_limits import find_context_faults
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, write_json
from lorabench.inference.worker import check_room
from lorabench.training.settings import check_length
from scripts.test_evaluate_task import arguments
from scripts.test_generate_answers import made, questions, run
from training_fixtures import train

pytest_plugins = ["evaluation_fixtures", "training_fixtures"]
__all__ = ["questions"]


@pytest.fixture
def short(source: Path) -> Path:
    """Return source.json of the tiny model with 256 positions."""
    config = read_json(source.parent / "config.json")
    write_json(source.parent / "config.json", config | {"max_position_embeddings": 256})
    return source


@pytest.mark.parametrize(("few_shot", "new"), [(2, 240), (2, 60)])
def test_a_prompt_with_its_examples_must_fit(
    few_shot: int, new: int, short: Path, gsm8k_data: Path, root: Path, tmp_path: Path
) -> None:
    """Case 5: two examples and the new tokens exceed 256 positions."""
    given = arguments(root, tmp_path, short, gsm8k_data, "gsm8k")
    own = given["parts"].settings["benchmarks"]["gsm8k"]
    own |= {"few_shot": few_shot, "max_new_tokens": new}
    with pytest.raises(DataError, match=rf"a prompt of \d+ tokens .*{new} exceed .* of 256 tokens"):
        evaluate_task(**given)


def test_an_mmlu_prompt_must_fit(short: Path, mmlu_data: Path, root: Path, tmp_path: Path) -> None:
    """Log-likelihoods, too, are those of whole prompts."""
    with pytest.raises(DataError, match=r"exceed the model's context of 256 tokens"):
        evaluate_task(**arguments(root, tmp_path, short, mmlu_data, "mmlu"))


def test_a_second_turn_gets_the_room_that_is_left(
    short: Path, questions: Path, tmp_path: Path
) -> None:
    """The second turn is shorter and counted, or not generated at all."""
    rows = run(tmp_path / "fits", short, questions, "mt_bench", new=20)
    assert made(tmp_path / "fits", "mt_bench")["turns_with_less_room"] == 0
    rows = run(tmp_path / "less", short, questions, "mt_bench", new=110)
    less = made(tmp_path / "less", "mt_bench")["turns_with_less_room"]
    assert less > 0
    assert any(row["output_tokens"][1] < 110 and row["truncated"][1] for row in rows)
    with pytest.raises(DataError, match=r"turn 2: \d+ prompt tokens, earlier answers of full"):
        run(tmp_path / "none", short, questions, "mt_bench", new=185)
    assert not (tmp_path / "none" / "base" / "mt_bench.jsonl").exists()


def test_training_reads_no_positions_that_the_base_lacks(
    short: Path, prepared: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Case 6: max_seq_length beyond the base's positions is refused before anything is loaded."""
    with pytest.raises(ConfigurationError, match=r"max_seq_length is 1024, .* reads 256 tokens"):
        train(short, prepared, tmp_path / "run", settings | {"max_seq_length": 1024})
    check_length(256, {"max_position_embeddings": 256})
    check_length(100_000, {})


def test_every_length_is_compared_before_the_first_job(short: Path) -> None:
    """Where the base is on this machine, all sections at once; what is not scheduled is not."""
    run = {
        "fetch_model": {"base": {"name": "tiny"}},
        "score_benchmark": {"benchmarks": ["gsm8k", "mt_bench"]},
        "train_adapter": {"max_seq_length": 257},
        "evaluate_task": {"gsm8k": {"max_new_tokens": 256}},
        "generate_answers": {
            "mt_bench": {"max_new_tokens": 255},
            "alpaca_eval": {"max_new_tokens": 9999},
        },
        "measure_inference": {"new_tokens": 256},
    }
    faults = find_context_faults(run, set(run), short.parent)
    assert [fault.partition(" is ")[0] for fault in faults] == [
        "train_adapter.max_seq_length",
        "evaluate_task.gsm8k.max_new_tokens",
        "measure_inference.new_tokens",
    ]
    assert "reads 256 tokens: set it to 256 or less" in faults[0]
    assert len(find_context_faults(run, {"measure_inference"}, short.parent)) == 1
    assert find_context_faults(run, set(run), None) == []


@pytest.mark.parametrize(
    "config", [{"max_position_embeddings": 32}, {"n_ctx": 4096, "sliding_window": 32}]
)
def test_a_timed_prompt_must_fit(config: dict[str, Any]) -> None:
    """The longest prompt and its new tokens; the decoder has no windows, so they count."""
    check_room(config, [[1] * 10, [1] * 20], 12)
    with pytest.raises(
        DataError, match=r"20 tokens, which with new_tokens 13 exceeds .* 32 tokens"
    ):
        check_room(config, [[1] * 10, [1] * 20], 13)
