"""Which tokens end a model's turn: the one definition for answers, benchmarks and measurements."""

from transformers import GenerationConfig, PreTrainedTokenizerBase

from lorabench.chat import control_pattern, render_chat
from lorabench.errors import DataError

# takes the place of an answer while the template is examined
ANSWER = "Quillow"


def end_token_ids(
    generation_config: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """Return the tokens that end a turn or a text.

    They are those of the checkpoint's generation config, the tokenizer's own, and the control token
    with which the chat template closes an assistant's turn. No one of the three is enough: Llama
    3's first release names <|end_of_text|> in its configs and closes turns with <|eot_id|>.
    """
    configured = generation_config.eos_token_id if generation_config else None
    several = configured if isinstance(configured, list) else [configured]
    ids = {*several, tokenizer.eos_token_id, turn_end_id(tokenizer)}
    return frozenset(number for number in ids if number is not None)


def turn_end_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the first control token that the chat template writes after an answer."""
    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": ANSWER}]
    try:
        text = render_chat(tokenizer, messages, prompt=False)
    except DataError:
        return None
    end = control_pattern(tokenizer).search(text, text.rfind(ANSWER) + len(ANSWER))
    return None if end is None else int(tokenizer.get_vocab()[end.group()])
