"""Write control tokens of the usual chat formats apart in people's text.

This knows no tokenizer. A model's own control tokens of any form are written apart where its chats
are rendered (lorabench.chat).
"""

import re
import unicodedata

# <|eot_id|>, <|im_start|>, <|end_of_text|>, …: the form of Llama 3, ChatML and most other formats.
CONTROL_PATTERN = re.compile(r"<(\|[^<>|\n]{1,64}\|)>")


def clean_text(text: str) -> tuple[str, int]:
    """Return the text in Unicode's form NFC, and how many control tokens were written apart.

    A control token stays readable but is written apart ("< |eot_id| >"), so that no tokenizer takes
    it for a real one.
    """
    return CONTROL_PATTERN.subn(r"< \1 >", unicodedata.normalize("NFC", text))
