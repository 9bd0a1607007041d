"""Make text safe to tokenise: no part of it may be read as a control token of a chat format."""

import re
import unicodedata

# <|eot_id|>, <|im_start|>, <|end_of_text|>, …: the form of Llama 3, ChatML and most other formats.
# The names are other control tokens of the demo model, which come from its code data; users do
# write "<filename>".
NAMES = (
    "repo_name|reponame|file_sep|filename|gh_stars|issue_start|issue_comment|issue_closed|"
    "jupyter_start|jupyter_text|jupyter_code|jupyter_output|jupyter_script|empty_output"
)
CONTROL_PATTERN = re.compile(rf"<(\|[^<>|\n]{{1,64}}\||{NAMES})>")


def clean_text(text: str) -> tuple[str, int]:
    """Return the text in Unicode's composed form (NFC) without control tokens, and how many were
    neutralised.

    A control token stays readable but is written apart ("< |eot_id| >"), so that no tokenizer takes
    it for a real one.
    """
    return CONTROL_PATTERN.subn(r"< \1 >", unicodedata.normalize("NFC", text))
