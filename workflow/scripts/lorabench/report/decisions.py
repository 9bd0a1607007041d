"""Two questions of a report: did the adapter help, may it ship; `serving` answers what it costs.

Every answer is {"answer": a word or two, "headline": one sentence, "reasons": [{"status",
"text"}]}, where status is "good", "bad", "neutral" or "unknown". Scores of a judge that carries no
signal decide nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lorabench.report.licences import find_licence
from lorabench.report.wording import (
    benchmark_title,
    contrast_text,
    difference_text,
    interval_text,
)

Reason = dict[str, str]
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
    change = f"{adapter - base:+.3f}".replace("-", "−")  # noqa: RUF001
    over = f" over {validation['tokens']:,} answer tokens" if validation.get("tokens") else ""
    return (
        f"loss on held-out conversations: {base:.3f} before, {adapter:.3f} after ({change} nat a"
        f" token{over})"
    )


def _help_headline(loss: str | None, words: Sequence[str]) -> tuple[str, str]:
    """Return the answer and its sentence from the change of the held-out loss and the verdicts that
    carry a signal."""
    better, worse = words.count("better"), words.count("worse")
    start = {
        None: "The loss on held-out conversations was not measured",
        "lower": "It fits held-out conversations better",
        "higher": "It fits held-out conversations worse",
    }.get(loss, "It fits held-out conversations as before")
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


def may_ship(
    *,
    benchmarks: Mapping[str, Mapping[str, Any]],
    model_licence: str | None,
    data_licence: str | None,
    merge: Mapping[str, Any] | None,
    contamination: Mapping[str, Any] | None,
    base_is_random: bool,
) -> dict[str, Any]:
    """Answer from licences, the merge check, contamination, losses on benchmarks and what was not
    run."""
    reasons = [
        licence_reason("base model", model_licence),
        licence_reason("training data", data_licence),
    ]
    if merge is None:
        reasons.append(reason("unknown", "merged weights: not checked"))
    else:
        reasons.append(reason("good", merge_text(merge)))
    reasons += [_quality_reason(name, benchmark) for name, benchmark in benchmarks.items()]
    reasons.append(contamination_reason(contamination))
    if base_is_random:
        reasons.append(
            reason(
                "bad", "the base model has random weights: it exercises the pipeline, nothing else"
            )
        )
    against, open_points = (
        sum(item["status"] == status for item in reasons) for status in ("bad", "unknown")
    )
    if against:
        headline = (
            f"Marked ✗ below: what speaks against it ({against}); marked ?: what is open"
            f" ({open_points})."
        )
        return {"answer": "no", "headline": headline, "reasons": reasons}
    if open_points:
        noun = "point is" if open_points == 1 else "points are"
        headline = f"Nothing found speaks against it, but {open_points} {noun} open."
        return {"answer": "not yet", "headline": headline, "reasons": reasons}
    headline = "Nothing found speaks against it; mind what the licences ask."
    return {"answer": "yes", "headline": headline, "reasons": reasons}


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


def merge_text(merge: Mapping[str, Any]) -> str:
    """Return the merge check in words; a merge beyond its threshold fails its rule and makes no
    report."""
    exact, saved = merge["float32"], merge["as_saved"]
    return (
        "merged weights equal base + adapter: logits differ by at most"
        f" {exact['max_abs_logit_difference']:.2g} in float32 and"
        f" {saved['max_abs_logit_difference']:.2g} as saved in {merge['dtype']}"
    )


def _quality_reason(name: str, benchmark: Mapping[str, Any]) -> Reason:
    title, contrast = benchmark_title(name), benchmark["pairs"].get("lora_vs_base")
    if contrast is None or contrast["status"] != "ok":
        return reason("unknown", f"{title}: not run, {_why(benchmark, contrast)}")
    if not contrast["carries_signal"]:
        return reason("unknown", f"{title}: the judge carries no signal, so quality is not known")
    if contrast["verdict_word"] == "worse":
        return reason("bad", f"{title}: worse than the base")
    if contrast["verdict_word"] == "better":
        return reason("good", f"{title}: better than the base")
    return reason(
        "neutral",
        f"{title}: no loss against the base seen ({contrast_text(contrast, benchmark['unit'])})",
    )


def contamination_reason(overlaps: Mapping[str, Mapping[str, Mapping[str, int]]] | None) -> Reason:
    """Return whether benchmark items share a long run of words with the training data; `overlaps`:
    see `records`."""
    if overlaps is None:
        return reason("unknown", "overlap of training data and benchmark items: not checked")
    longest = {name: max(lengths, key=int) for name, lengths in overlaps.items() if lengths}
    found = {name: overlaps[name][words]["overlapping"] for name, words in longest.items()}
    listed = ", ".join(f"{benchmark_title(name)} {count}" for name, count in found.items() if count)
    words = max(longest.values(), key=int, default="13")
    if listed:
        text = (
            f"items that share {words} words in a row with the training data, whose scores may"
            f" flatter: {listed}"
        )
        return reason("unknown", text)
    return reason("good", f"no benchmark item shares {words} words in a row with the training data")
