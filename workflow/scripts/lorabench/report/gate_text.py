"""The release gate in words: one sentence a line, a table, a comment for a pull request."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from lorabench.documents.gate import Answer, GateDocument, GateLine, LineVerdict
from lorabench.documents.report import GateRow, GateTable
from lorabench.report.wording import MINUS, benchmark_title, interval_text, signed_zero, size_text
from lorabench.scoring.benchmark import scored_benchmark

TITLES = {
    "held_out_loss": "held-out loss",
    "merge_error": "saved weights",
    "speed": "decode speed",
    "memory": "peak memory",
    "base_model": "base model",
}
VERDICTS = {"pass": "pass", "fail": "fail", "not_shown": "not shown", "missing": "missing"}
ANSWERS: dict[Answer, str] = {"yes": "yes", "no": "no", "not_shown": "not shown"}
# as in the lists of reasons: status by verdict
STATUS: dict[LineVerdict, Literal["good", "bad", "unknown"]] = {
    "pass": "good",
    "fail": "bad",
    "not_shown": "unknown",
    "missing": "unknown",
}
MARKS = {"pass": "✓", "fail": "✗", "not_shown": "?", "missing": "?"}
REASONS = {
    "not_evaluated": "not evaluated",
    "judge_without_signal": "the judge cannot tell good answers from bad, so its scores decide"
    " nothing",
    "base_near_floor": "the base scores so low that losing everything would stay within the margin",
    "no_losses_by_conversation": "the training record has no losses by conversation, so there is"
    " no interval",
    "no_benchmark_required": "no benchmark is among the required lines; without one there is no"
    " yes",
    "not_measured": "not measured",
    "licence_not_known": "the licence of the base model or of the training data is not recorded or"
    " not known here; read its terms",
    "random_weights": "random weights: nothing measured with it is evidence",
    "in_order": "in order",
    "declared_after_results": "the margins in force were declared when results in use were known",
}
DUTIES = {
    "licence_text": "the licence text (LICENSE)",
    "notice": "the prescribed attribution (NOTICE)",
    "built_with": "the words that must be displayed",
    "name": "a name that begins as the licence asks",
}


def title_of(line: GateLine) -> str:
    """Return the name of a line for readers."""
    return TITLES.get(line.name) or benchmark_title(line.name)


def line_text(line: GateLine) -> str:
    """Return what a line shows, in one sentence without its title."""
    if line.code == "not_run":
        return f"not run{_because(line)}"
    if line.code == "items_without_score":
        return f"{line.detail[0]} items lack a score; the rest may be a selection"
    if line.code == "duty_not_met":
        return f"missing: {', '.join(DUTIES.get(name, name) for name in line.detail)}"
    if line.estimate is None:
        reason = REASONS.get(line.code, line.code.replace("_", " "))
        return reason + (_because(line) if line.code == "not_measured" else "")
    number = f"{_value(line)}{_interval(line)}"
    asked = f"asked: {bound_text(line)}"
    if line.code == "base_near_floor":
        return f"{number}; {REASONS[line.code]}"
    if line.code == "too_few_units":
        return f"{number}; {line.units} {_units(line)} are too few to decide, {_more(line)}"
    if line.verdict == "not_shown" and line.kind != "limit":
        return f"{number}; {asked}; {_more(line)}"
    return f"{number}; {asked}"


def bound_text(line: GateLine) -> str:
    """Return what a line asks for, as "above +2.0 pp" or "at most 1.10 times the base's"."""
    bound = line.threshold or 0.0
    if line.kind in ("margin", "improvement"):
        return f"above {_signed(bound, line.unit)}"
    if line.name == "speed":
        return f"at least {bound:g} times the base's"
    if line.name == "memory":
        return f"at most {bound:g} times the base's"
    return f"at most {f'{100 * bound:g} %' if line.unit == 'share' else f'{bound:g}'}"


def headline(lines: Sequence[GateLine], answer: Answer) -> str:
    """Return the answer's sentence."""
    required = [line for line in lines if line.required]

    def named(*verdicts: str) -> str:
        return ", ".join(title_of(line) for line in required if line.verdict in verdicts)

    if answer == "yes":
        return f"All {len(required)} required lines of the gate pass; see what the licences ask."
    if answer == "no":
        return f"The gate fails on {named('fail')}."
    open_lines = {"not shown": named("not_shown"), "missing": named("missing")}
    parts = [f"{word}: {names}" for word, names in open_lines.items() if names]
    return f"Nothing required fails, but the evidence is not enough ({'; '.join(parts)})."


def text_table(document: GateDocument) -> str:
    """Return the gate as lines for a terminal."""
    width = max(len(title_of(line)) for line in document.lines)
    rows = [
        f"  {title_of(line):<{width}}  {VERDICTS[line.verdict]:<9}"
        f"  {line_text(line)}{'' if line.required else ' (not required)'}"
        for line in document.lines
    ]
    why = headline(document.lines, document.answer)
    end = f"ship {document.variant}: {ANSWERS[document.answer]}. {why}"
    return "\n".join([f"gate of {document.run}", *rows, end, *_declared(document)])


def gate_table(document: GateDocument) -> GateTable:
    """Return the gate as the report shows it: answer, sentences, and one row a line."""
    rows = []
    for line in document.lines:
        status, word = STATUS[line.verdict], VERDICTS[line.verdict]
        words = line_text(line)
        row = GateRow(**vars(line), title=title_of(line), status=status, word=word, text=words)
        rows.append(asdict(row))
    return {
        "variant": document.variant,
        "answer": ANSWERS[document.answer],
        "headline": headline(document.lines, document.answer),
        "declared": " ".join(_declared(document)),
        "lines": rows,
    }


def comment(document: GateDocument) -> str:
    """Return one short Markdown comment for a pull request."""
    rows = [
        f"| {title_of(line)} | {MARKS[line.verdict]} {VERDICTS[line.verdict]} |"
        f" {line_text(line).replace('|', '/')}{'' if line.required else ' (not required)'} |"
        for line in document.lines
    ]
    word = ANSWERS[document.answer].capitalize()
    why = headline(document.lines, document.answer)
    start = f"**{document.run}: ship the {document.variant} model? {word}.** {why}"
    table = ["| line | verdict | evidence |", "| --- | --- | --- |", *rows]
    return "\n".join([start, "", *table, "", *_declared(document), ""])


def _declared(document: GateDocument) -> list[str]:
    """Return when the margins were declared, and whether results were known then."""
    state = document.declaration
    known = len(state.known_results)
    after = f", after {known} of the results in use were known" if known else ""
    count = f"; declaration {state.declarations} of this run" if state.declarations > 1 else ""
    return [f"Margins declared {state.declared_at} (SHA-256 {state.sha256[:12]}){after}{count}."]


def _value(line: GateLine) -> str:
    value = line.estimate or 0.0
    if line.kind in ("margin", "improvement"):
        return _signed(value, line.unit)
    if line.name in ("speed", "memory"):
        return f"{value:.2f} times the base's"
    if line.name == "contamination":
        worst = f" of {benchmark_title(line.detail[0])}" if line.detail else ""
        return f"{100 * value:.2g} %{worst} overlaps with the training data"
    return f"logits differ by at most {value:.2g} as saved"


def _signed(value: float, unit: str | None) -> str:
    if unit == "nat":
        return f"{signed_zero(value, 3) if value <= 0 else f'+{value:.3f}'} nat"
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return sign + size_text(abs(value), unit or "share")


def _interval(line: GateLine) -> str:
    if line.interval is None:
        return ""
    if line.unit == "nat":
        return f" [{signed_zero(line.interval[0], 3)}, {signed_zero(line.interval[1], 3)}]"
    if line.unit == "ratio":
        return f" [{line.interval[0]:.2f}, {line.interval[1]:.2f}]"
    return f" {interval_text(line.interval, line.unit or 'share')}"


def _units(line: GateLine) -> str:
    if line.name == "held_out_loss":
        return "conversations"
    table = scored_benchmark(line.name)
    return "items" if table.right_or_wrong or not table.cluster else f"{table.cluster}s"


def _more(line: GateLine) -> str:
    if line.more_units is None:
        return "more items would not settle it: the estimate is the threshold"
    # two digits are all that an estimate of a need is worth
    digits = 10 ** max(0, len(str(line.more_units)) - 2)
    return f"about {-(-line.more_units // digits) * digits:,} more {_units(line)} would settle it"


def _because(line: GateLine) -> str:
    found = [text for text in line.detail if text]
    return f": {', '.join(found)}" if found else ""
