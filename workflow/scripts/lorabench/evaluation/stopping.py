"""When a generation is complete: an end token, or a stop string in the text."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

# tokens more than a stop string has, because generated text may be tokenised differently
LOOKBACK = 2


class StopAt:
    """Says whether new tokens end with an end token or contain a stop string near their end.

    Args:
        tokenizer: decodes the tokens; special tokens stay visible, since a stop string may be one.
        end_ids: token ids that end a text.
        strings: stop strings.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: frozenset[int],
        strings: Sequence[str] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self.end_ids = end_ids
        self.strings = [string for string in strings if string]
        lengths = [
            len(tokenizer.encode(string, add_special_tokens=False)) for string in self.strings
        ]
        self.window = max(lengths, default=0) + LOOKBACK

    def __call__(self, tokens: list[int]) -> bool:
        """Return True where the generation is complete; `tokens` are the new ones, at least one."""
        if tokens[-1] in self.end_ids:
            return True
        if not self.strings:
            return False
        tail = self.tokenizer.decode(tokens[-self.window :], skip_special_tokens=False)
        return any(string in tail for string in self.strings)
