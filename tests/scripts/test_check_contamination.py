"""check_contamination: overlaps of each benchmark with the training conversations, in one file."""

import json
from pathlib import Path

from check_contamination import check_contamination
from lorabench.files import write_jsonl

QUESTION = (
    "If a train leaves at nine and drives for three hours at a steady speed how far does it go?"
)


def test_borrowed_question_is_listed(tmp_path: Path) -> None:
    """A test question inside a training answer is found at both lengths."""
    train = tmp_path / "train.jsonl"
    turns = [
        {"role": "user", "content": "Ask me."},
        {"role": "assistant", "content": f"Well. {QUESTION.upper()}"},
    ]
    write_jsonl(train, [{"id": "t1", "language": "en", "messages": turns}])
    gsm8k = tmp_path / "gsm8k" / "built-in"
    write_jsonl(
        gsm8k / "test.jsonl", [{"id": "gsm8k-test-0", "question": QUESTION, "answer": "#### 1"}]
    )
    alpaca = tmp_path / "alpaca_eval" / "built-in"
    write_jsonl(
        alpaca / "instructions.jsonl",
        [{"id": "alpaca-0", "dataset": "d", "instruction": "Write a poem."}],
    )
    check_contamination(
        train=train,
        benchmarks=[gsm8k / "source.json", alpaca / "source.json"],
        contamination=tmp_path / "contamination.json",
        settings={"ngrams": [8, 13]},
    )
    report = json.loads((tmp_path / "contamination.json").read_text())
    assert report["conversations"] == 1
    for n in ("8", "13"):
        [found] = report["benchmarks"]["gsm8k"]["by_ngram_words"][n]["overlapping"]
        assert (found["id"], found["conversations"]) == ("gsm8k-test-0", ["t1"])
        assert report["benchmarks"]["alpaca_eval"]["by_ngram_words"][n] == {
            "comparable": 0,
            "overlapping": [],
        }
