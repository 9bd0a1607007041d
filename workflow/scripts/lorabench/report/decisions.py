"""Two questions of a report: did the adapter help, may it ship; `serving` answers what it costs.

Every answer is {"answer": a word or two, "headline": one sentence, "reasons": [{"status",
"text"}]}, where status is "good", "bad", "neutral" or "unknown". Scores of a judge that carries no
signal decide nothing.
"""

from collections.abc import Mapping, Sequence

from lorabench.description.licences import find_licence
from lorabench.documents.comparison import (
    BenchmarkComparison,
    HeldOutLoss,
    Reason,
    ReasonStatus,
    ShortAnswer,
)
from lorabench.documents.gate import GateDocument
from lorabench.report.gate_text import ANSWERS, REASONS, STATUS, headline, line_text, title_of
from lorabench.report.wording import (
    benchmark_title,
    contrast_text,
    difference_text,
    interval_text,
    loss_change_text,
)

STATUS_OF_WORD: dict[str, ReasonStatus] = {"better": "good", "worse": "bad"}
STATUS_OF_CHANGE: dict[str, ReasonStatus] = {"lower": "good", "higher": "bad"}


def reason(status: ReasonStatus, text: str, parts: Sequence[str] = ()) -> Reason:
    """Return one reason of an answer, `parts` in lines of their own."""
    found: Reason = {"status": status, "text": text}
    return {**found, "parts": list(parts)} if parts else found


def adapter_helps(
    benchmarks: Mapping[str, BenchmarkComparison], validation: HeldOutLoss | None
) -> ShortAnswer:
    """Answer from the lora-base contrasts and the exact validation loss of base and adapter.

    Args:
        benchmarks: per benchmark `unit` and `pairs`, as in compare.json.
        validation: base_nll, adapter_nll (nats a token) and tokens, None where they were not
            measured.
    """
    reasons, words = [], []
    if validation is not None:
        shown = STATUS_OF_CHANGE.get(validation["word"], "neutral")
        reasons.append(reason(shown, _validation_text(validation)))
    for name, benchmark in benchmarks.items():
        contrast = benchmark["pairs"].get("lora_vs_base")
        if contrast is None or contrast["status"] != "ok":
            why = (contrast or benchmark).get("reason") or "base or lora was not evaluated"
            reasons.append(reason("unknown", f"{benchmark_title(name)}: not run, {why}"))
            continue
        if contrast["carries_signal"]:
            words.append(contrast["verdict_word"])
        text = (
            f"{benchmark_title(name)}:"
            f" {difference_text(contrast['difference'], benchmark['unit'])}"
            f" {interval_text(contrast['interval'], benchmark['unit'])},"
            f" {contrast_text(contrast, benchmark['unit'])}"
        )
        reasons.append(reason(STATUS_OF_WORD.get(contrast["verdict_word"], "neutral"), text))
    answer, headline = _help_headline(validation["word"] if validation else None, words)
    return {"answer": answer, "headline": headline, "reasons": reasons}


def _validation_text(validation: HeldOutLoss) -> str:
    base, adapter = validation["base_nll"], validation["adapter_nll"]
    over = f" over {validation['tokens']:,} answer tokens" if validation.get("tokens") else ""
    return (
        f"loss on held-out conversations: {base:.3f} before, {adapter:.3f} after"
        f" ({loss_change_text(validation)} a token{over})"
    )


def _help_headline(loss: str | None, words: Sequence[str]) -> tuple[str, str]:
    """Return the answer and its sentence from the loss and the verdicts that carry a signal."""
    better, worse = words.count("better"), words.count("worse")
    start = {
        None: "The loss on held-out conversations was not measured",
        "lower": "It fits held-out conversations better",
        "higher": "It fits held-out conversations worse",
    }.get(loss, "No change of the fit to held-out conversations is shown")
    if better and worse:
        return "mixed", f"{start}; of the benchmarks, {better} improved and {worse} got worse."
    if better:
        return "yes", f"{start}; {better} of {len(words)} benchmarks improved and none got worse."
    if worse:
        return "no", f"{start}, and {worse} of {len(words)} benchmarks got worse."
    plural = "s" if len(words) > 1 else ""
    end = f"on {len(words)} benchmark{plural} no difference is detectable at this size"
    if not words:
        end = "no benchmark result can be interpreted here"
    return "on its own data" if loss == "lower" else "not shown", f"{start}; {end}."


def may_ship(
    gate: GateDocument, model_licence: str | None, data_licence: str | None
) -> ShortAnswer:
    """Answer from the release gate, the lines that do not pass first; the licences' duties last.

    Args:
        model_licence, data_licence: as the sources of base model and training data state them.
    """
    open_lines = [line for line in gate.lines if line.required and line.verdict != "pass"]
    reasons = [
        reason(STATUS[line.verdict], f"{title_of(line)}: {line_text(line)}")
        for line in sorted(open_lines, key=lambda line: line.verdict != "fail")
    ]
    passed = [title_of(line) for line in gate.lines if line.required and line.verdict == "pass"]
    if passed:
        reasons.append(reason("good", f"pass: {', '.join(passed)}"))
    if gate.declaration.known_results:
        reasons.append(reason("unknown", f"declaration: {REASONS['declared_after_results']}"))
    reasons += [
        licence_reason("base model", model_licence),
        licence_reason("training data", data_licence),
    ]
    return {
        "answer": ANSWERS[gate.answer],
        "headline": headline(gate.lines, gate.answer),
        "reasons": reasons,
    }


def licence_reason(subject: str, text: str | None) -> Reason:
    """Return what a licence means; an unnamed or unknown one is an open point."""
    licence = find_licence(text)
    if licence is None:
        unknown = f"{text!r} is not one whose terms are known here"
        found = unknown if text else "none is recorded with it"
        return reason("unknown", f"licence of the {subject}: {found}; read its terms")
    status: ReasonStatus = "good" if licence.permissive else "neutral"
    duties = f" ({'; '.join(licence.duties)})" if licence.duties else ""
    return reason(status, f"licence of the {subject}: {licence.name}{duties}")
