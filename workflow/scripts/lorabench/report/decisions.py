"""The three questions of a report: did the adapter help, what does it cost to serve, may it ship.

Every answer is {"answer": a word or two, "headline": one sentence, "reasons": [{"status",
"text"}]}, where status is "good", "bad", "neutral" or "unknown". Scores of a judge that carries no
signal decide nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lorabench.description.licences import find_licence
from lorabench.documents.gate import GateDocument
from lorabench.report.gate_text import ANSWERS, REASONS, STATUS, headline, line_text, title_of
from lorabench.report.wording import (
    VARIANT_TITLES,
    benchmark_title,
    bytes_text,
    contrast_text,
    difference_text,
    interval_text,
    loss_change_text,
    ratio_text,
)

Reason = dict[str, str]
# width of the noise band in decode speed above which no cost can be named
TOO_NOISY = 0.4
STATUS_OF_WORD = {"better": "good", "worse": "bad"}


def reason(status: str, text: str) -> Reason:
    """Return one reason of an answer."""
    return {"status": status, "text": text}


def adapter_helps(
    benchmarks: Mapping[str, Mapping[str, Any]], validation: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Answer from the lora-base contrasts and the exact validation loss of base and adapter.

    Args:
        benchmarks: per benchmark `unit` and `pairs`, as in compare.json.
        validation: base_nll, adapter_nll (nats a token) and tokens, None where they were not
            measured.
    """
    reasons, words = [], []
    if validation is not None:
        status = {"lower": "good", "higher": "bad"}.get(validation["word"], "neutral")
        reasons.append(reason(status, _validation_text(validation)))
    for name, benchmark in benchmarks.items():
        contrast = benchmark["pairs"].get("lora_vs_base")
        if contrast is None or contrast["status"] != "ok":
            reasons.append(
                reason("unknown", f"{benchmark_title(name)}: not run, {_why(benchmark, contrast)}")
            )
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


def _why(benchmark: Mapping[str, Any], contrast: Mapping[str, Any] | None) -> str:
    return str((contrast or benchmark).get("reason") or "base or lora was not evaluated")


def _validation_text(validation: Mapping[str, Any]) -> str:
    base, adapter = validation["base_nll"], validation["adapter_nll"]
    over = f" over {validation['tokens']:,} answer tokens" if validation.get("tokens") else ""
    return (
        f"loss on held-out conversations: {base:.3f} before, {adapter:.3f} after"
        f" ({loss_change_text(validation)} a token{over})"
    )


def _help_headline(loss: str | None, words: Sequence[str]) -> tuple[str, str]:
    """Return the answer and its sentence from the change of the held-out loss and the verdicts that
    carry a signal."""
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
    if not words:
        end = "no benchmark result can be interpreted here"
    else:
        end = (
            f"on {len(words)} benchmark{'s' if len(words) > 1 else ''} no difference is detectable"
            " at this size"
        )
    if loss == "lower":
        return "on its own data", f"{start}; {end}."
    return "not shown", f"{start}; {end}."


def cost_to_serve(
    serving: Mapping[str, Any] | None, memory: Mapping[str, float | None]
) -> dict[str, Any]:
    """Answer from the speed ratios (see `serving`) and each variant's peak memory in bytes."""
    if serving is None:
        return {"answer": "not measured", "headline": "Inference was not measured.", "reasons": []}
    reasons = []
    for variant, title in (("lora", "base + adapter"), ("merged", "merged")):
        speed = serving["decode_tokens_per_second"]["ratio_to_base"].get(variant)
        first = serving["time_to_first_token_ms"]["ratio_to_base"].get(variant)
        if speed is not None and first is not None:
            text = (
                f"{title}: {ratio_text(speed)} times the base's decode speed ({speed['verdict']}), "
                f"{ratio_text(first)} times its time to first token ({first['verdict']})"
            )
            verdicts = {speed["verdict"], first["verdict"]}
            reasons.append(
                reason(
                    (
                        "bad"
                        if "slower" in verdicts
                        else "good"
                        if "faster" in verdicts
                        else "neutral"
                    ),
                    text,
                )
            )
    band = serving["decode_tokens_per_second"]["noise_band"]
    if band is not None:
        noise = (
            f"noise of this machine: the base against itself reads {band[0]:.2f} to {band[1]:.2f}"
            " in decode speed"
        )
        reasons.append(reason("neutral", noise))
    used = [
        f"{VARIANT_TITLES[name]} {bytes_text(value)}" for name, value in memory.items() if value
    ]
    if used:
        reasons.append(reason("neutral", f"peak memory while generating: {', '.join(used)}"))
    words = {
        variant: serving["decode_tokens_per_second"]["ratio_to_base"].get(variant)
        for variant in ("lora", "merged")
    }
    answer, headline = _cost_headline(words, band)
    return {"answer": answer, "headline": headline, "reasons": reasons}


def _cost_headline(
    decode: Mapping[str, Mapping[str, Any] | None], band: Sequence[float] | None
) -> tuple[str, str]:
    """Return the answer and its sentence from the decode speed ratios (None = not measured) and the
    noise band."""
    parts, costs = [], {}
    for variant, title in (("lora", "Unmerged, the adapter"), ("merged", "Merged, it")):
        ratio = decode[variant]
        if ratio is None:
            continue
        change = f"{abs(1 - ratio['ratio']):.0%}"
        costs[variant] = change if ratio["verdict"] == "slower" else None
        effect = {
            "slower": f"costs {change} of decode speed",
            "faster": f"gains {change} of decode speed",
        }
        parts.append(
            f"{title}"
            f" {effect.get(ratio['verdict'], 'costs no decode speed that could be detected')}"
        )
    if not parts:
        return "not measured", "Neither the adapter nor the merged model was measured."
    headline = ". ".join(parts) + "."
    if band is not None and band[1] - band[0] > TOO_NOISY:
        return (
            "too noisy to tell",
            f"This machine was not quiet: {band[0]:.2f} to {band[1]:.2f} is noise. {headline}",
        )
    if costs.get("lora") is None:
        return "nothing detectable", headline
    if "merged" in costs and costs["merged"] is None:
        return "nothing, if merged", headline
    return f"{costs['lora']} of speed", headline


def may_ship(
    gate: GateDocument, model_licence: str | None, data_licence: str | None
) -> dict[str, Any]:
    """Answer from the release gate, the lines that do not pass first; the licences' duties last.

    Args:
        gate: the content of gate.json.
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
    """Return what the licence of the base model or data means; an unnamed or unknown one is an open
    point."""
    licence = find_licence(text)
    if licence is None:
        found = (
            f"{text!r} is not one whose terms are known here"
            if text
            else "none is recorded with it"
        )
        return reason("unknown", f"licence of the {subject}: {found}; read its terms")
    status = "good" if licence.permissive else "neutral"
    duties = f" ({'; '.join(licence.duties)})" if licence.duties else ""
    return reason(status, f"licence of the {subject}: {licence.name}{duties}")
