"""What an error response means: no credit, a refused parameter, a wrong key, or something else."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorabench.judging.wire import LIMIT_NAMES, clean

NOT_TAKEN = re.compile(
    r"(?i)unsupported|not support|does not support|deprecated|unrecognized|unknown|extra inputs|not"
    r" permitted"
)
CREDIT_CODES = re.compile(
    r"(?i)insufficient_(quota|balance|credits?|funds)|billing|payment_required"
    r"|exceeded_current_quota|budget_exceeded|credit|spend_limit|^1113$"
)
CREDIT_WORDS = re.compile(
    r"(?i)credit balance|credit limit|(out of|no|not enough|insufficient|used all|exceeded|add"
    r"|buy|purchase|requires more)\W+(\w+\W+){0,3}credits?\b"
    r"|insufficient (account )?(quota|balance|funds)"
    r"|balance (is )?(too low|not enough|insufficient)"
    r"|exceeded your (current |monthly )?quota|out of call volume quota"
    r"|payment required|arrears|past due|overdue|unpaid|failure to pay|top up|recharge"
    r"|suspended.{0,60}(payment|billing|balance)|reached your (specified )?(API )?usage limit"
    r"|spend(ing)? limit|(over|exceeded) (the |your )?budget|budget has been exceeded"
    r"|billing (hard limit|details|account|issue|is |has |not )|(plan|plans) (and|&) billing"
    r"|余额不足|欠费"
)
# Gemini's words for a limit a minute are those of an empty account; only these say which it is.
RETRY_WORDS = re.compile(r"(?i)(retry|try again) (in|after) [\d.]+ ?(s|ms|m|h)")

LONGEST_MESSAGE = 2000
SHOWN_MESSAGE = 500


@dataclass(frozen=True)
class Fault:
    """An error response in words."""

    status: int
    message: str
    code: str = ""
    parameter: str = ""

    def __str__(self) -> str:
        """Return status and message in the form that is shown."""
        return f"HTTP {self.status}: {self.message[:SHOWN_MESSAGE]}"

    @property
    def no_credit(self) -> bool:
        """Return whether the account is empty or over its limit, which no waiting cures."""
        if self.status == 402 or CREDIT_CODES.search(self.code):
            return True
        if self.status in (403, 429) and re.search(r"(?i)\bbilling\b", self.message):
            return not RETRY_WORDS.search(self.message)
        return bool(CREDIT_WORDS.search(self.message)) and not RETRY_WORDS.search(self.message)

    def refused_parameter(self, sent: Sequence[str]) -> str | None:
        """Return which of the sent parameters is refused, None for another error.

        A token limit that is merely too large for the context is about the prompt and no refusal.
        """
        if self.status not in (400, 403, 422):
            return None
        for name in sent:
            in_message = re.search(rf"(?<![a-z_]){name}(?![a-z_])", self.message)
            named = self.parameter == name or in_message
            if named and (name not in LIMIT_NAMES or NOT_TAKEN.search(self.message)):
                return name
        return "logprobs" if "logprobs" in sent and "logprobs" in self.message else None


def read_fault(status: int, content: bytes) -> Fault:
    """Return the fault that an error response names, else the start of its text."""
    text = content.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Fault(status, clean(" ".join(text.split())[:200]))
    error = document.get("error", document) if isinstance(document, dict) else document
    if not isinstance(error, dict):
        return Fault(status, clean(str(error))[:LONGEST_MESSAGE])
    message = error.get("message") or error.get("detail") or error
    code = error.get("code") or error.get("type") or ""
    return Fault(
        status,
        " ".join(clean(str(message)).split())[:LONGEST_MESSAGE],
        clean(str(code))[:100],
        clean(str(error.get("param") or ""))[:100],
    )


def fault_in_answer(content: bytes) -> Fault | None:
    """Return the fault in a response with status 200 that holds an error instead of an answer.

    OpenRouter answers so when the provider behind it fails. None without an error.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("error"), dict):
        return None
    if document.get("choices") or document.get("content"):
        return None
    code = document["error"].get("code")
    known = isinstance(code, int) and 400 <= code < 600
    return read_fault(code if known else 502, content)
