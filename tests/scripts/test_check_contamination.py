"""check_contamination: overlaps of each benchmark with the training conversations, in one file."""

from pathlib import Path

from check_contamination import check_contamination
from lorabench.files import read_json, write_jsonl

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
    rows = {
        "gsm8k/own/test.jsonl": {"id": "g0", "question": QUESTION, "answer": "#### 1"},
        "alpaca_eval/own/instructions.jsonl": {"id": "a0", "instruction": "Write a poem."},
    }
    for name, row in rows.items():
        write_jsonl(tmp_path / name, [row])
    check_contamination(
        train=train,
        benchmarks=[(tmp_path / name).with_name("source.json") for name in rows],
        contamination=tmp_path / "contamination.json",
        settings={"ngrams": [8, 13]},
    )
    report = read_json(tmp_path / "contamination.json")
    assert report["conversations"] == 1
    for n in ("8", "13"):
        [found] = report["benchmarks"]["gsm8k"]["by_ngram_words"][n]["overlapping"]
        assert (found["id"], found["conversations"]) == ("g0", ["t1"])
        short = report["benchmarks"]["alpaca_eval"]["by_ngram_words"][n]
        assert short == {"comparable": 0, "overlapping": []}
