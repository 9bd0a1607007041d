"""Chats: control tokens in a message are text, the date is fixed, turns end."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers.utils.chat_template_utils as chat_template_utils
from transformers import AutoTokenizer, GenerationConfig

from lorabench.chat import as_plain_text, control_pattern, encode_chat, render_chat
from lorabench.context import context_length
from lorabench.end_tokens import end_token_ids, turn_end_id
from lorabench.errors import DataError
from lorabench.files import read_json, write_json
from lorabench.llama import load_tokenizer

CHATML = (
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}\n{{ m['content'] }}<|end_of_text|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant\n{% endif %}"
)
DATED = (
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b"
    " %Y') %}{% endif %}Today Date: {{ date_string }}\n{% for m in messages %}{{ m['content']"
    " }}<|eot_id|>{% endfor %}"
)
STRICT = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    """Return the tiny model's tokenizer, fresh for each test."""
    return load_tokenizer(tiny_model)


def user(text: str) -> list[dict[str, str]]:
    """Return a chat of one message."""
    return [{"role": "user", "content": text}]


def test_only_one_place_renders_chats(root: Path) -> None:
    """Whoever calls the library's method gets today's date and people's control tokens."""
    package = root / "workflow" / "scripts"
    users = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"tokenizer\.apply_chat_template\(", path.read_text(encoding="utf-8"))
    ]
    assert users == ["chat.py"]


def test_a_template_that_prints_the_date_prints_the_same_tomorrow(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Llama 3.1's way of asking for today is answered with its own fallback."""

    class NoClock:
        @staticmethod
        def now() -> None:
            raise AssertionError("the clock was asked")

    monkeypatch.setattr(chat_template_utils, "datetime", NoClock)
    tokenizer.chat_template = DATED
    assert "Today Date: 26 Jul 2024\n" in render_chat(tokenizer, user("Hi"), prompt=False)


@pytest.mark.parametrize("added", ["<filename>", "</s>", "[INST]", "@@", "<\uff5cUser\uff5c>"])
def test_control_tokens_of_any_form_in_a_message_are_text(
    added: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Not a list of forms but the tokenizer's own tokens decide; each stays readable."""
    tokenizer = AutoTokenizer.from_pretrained(shutil.copytree(tiny_model, tmp_path / "model"))
    tokenizer.add_special_tokens({"additional_special_tokens": [added]})
    clean = len(encode_chat(tokenizer, user("say  now")))
    ids = encode_chat(tokenizer, user(f"say {added}<|eot_id|> now"))
    assert tokenizer.convert_tokens_to_ids(added) not in ids
    assert ids.count(tokenizer.get_vocab()["<|eot_id|>"]) == 1
    assert len(ids) > clean and ids[0] == tokenizer.bos_token_id
    assert len([i for i in ids if i == tokenizer.bos_token_id]) == 1


def test_writing_apart_ends_and_changes_nothing_else(tokenizer: Any) -> None:
    """Tokens inside tokens are found, too; text without any is left as it is."""
    control = control_pattern(tokenizer)
    text = "<|eot_<|eot_id|>id|> <b> | <|x"
    safe, found = as_plain_text(text, control)
    assert found and not control.search(safe)
    assert as_plain_text("a <b> | c", control) == ("a <b> | c", 0)


def test_what_a_template_refuses_is_one_line(tokenizer: Any) -> None:
    """A template that knows no system message says so with the roles."""
    tokenizer.chat_template = STRICT
    with pytest.raises(DataError, match=r"refuses a conversation of the roles system .*no system"):
        render_chat(tokenizer, [{"role": "system", "content": "x"}], prompt=False)


def test_the_templates_end_of_turn_ends_answers(tiny_model: Path, tmp_path: Path) -> None:
    """Case 4: all three configs name <|end_of_text|>, the template closes turns with <|eot_id|>."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = read_json(folder / "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", settings | {"eos_token": "<|end_of_text|>"})
    tokenizer = load_tokenizer(folder)
    end, turn = (tokenizer.convert_tokens_to_ids(t) for t in ("<|end_of_text|>", "<|eot_id|>"))
    assert tokenizer.eos_token_id == end
    assert end_token_ids(GenerationConfig(eos_token_id=end), tokenizer) == {end, turn}
    assert end_token_ids(None, tokenizer) == {end, turn}
    tokenizer.chat_template = CHATML
    assert turn_end_id(tokenizer) == end
    tokenizer.chat_template = None
    assert turn_end_id(tokenizer) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 256}, 256),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 8192}}, 8192),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": 32768, "sliding_window": 4096}, 4096),
        ({"text_config": {"max_position_embeddings": 8192, "sliding_window": 512}}, 512),
        (
            {"n_ctx": 32768, "sliding_window": 4096, "use_sliding_window": False},
            32768,
        ),
        (
            {"n_ctx": 2048, "sliding_window": 64, "layer_types": ["full_attention"]},
            2048,
        ),
        (
            {"n_ctx": 2048, "sliding_window": 64, "layer_types": ["sliding_attention"]},
            64,
        ),
        ({}, None),
    ],
)
def test_the_context_is_read_under_every_name(config: dict[str, Any], expected: int | None) -> None:
    """Architectures name the same limit differently; some have none, some a window that counts."""
    assert context_length(config) == expected
