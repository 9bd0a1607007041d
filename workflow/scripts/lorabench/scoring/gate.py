"""The release gate: lines of a run and the answer that follows from them.

"yes" only where every required line passes; "no" where one fails; else "not_shown". What is missing
never counts as passed, and without a benchmark among the required lines there is no yes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorabench.documents.comparison import ServingMetric
from lorabench.documents.gate import Answer, GateLine, LineVerdict
from lorabench.documents.item_result import ItemResult
from lorabench.documents.merge_report import MergeCheck
from lorabench.documents.train_metrics import ConversationLikelihood
from lorabench.scoring.gate_quality import Evaluated, Rule, benchmark_line, held_out_line
from lorabench.scoring.settings import HELD_OUT, GateSettings

# of `make gate`'s command: 3 = the evidence does not decide
EXIT_CODES: dict[Answer, Literal[0, 1, 3]] = {"yes": 0, "no": 1, "not_shown": 3}
# words of an n-gram; what is counted is the longest length that was compared
Overlaps = Mapping[str, Mapping[str, Mapping[str, int]]]


def rules_of(settings: GateSettings) -> dict[str, Rule]:
    """Return name -> rule of each line that an interval decides; improvements come first."""
    asked = {
        name: Rule(kind="margin", required=name in settings.required, threshold=-margin)
        for name, margin in settings.margins.items()
        if margin is not None
    }
    return asked | {
        name: Rule(kind="improvement", required=name in settings.required, threshold=gain)
        for name, gain in settings.improvements.items()
        if gain is not None
    }


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a run has measured; None or empty where it has not."""

    # by benchmark
    scores: Mapping[str, Evaluated]
    # benchmark -> variant -> item rows, only what was scored
    rows: Mapping[str, Mapping[str, Sequence[ItemResult]]]
    # held-out conversations, see `held_out`
    conversations: Sequence[ConversationLikelihood] | None
    # see `report.records.merge_check`
    merge: MergeCheck | None
    # see `report.records.overlapping_items`
    overlaps: Overlaps | None
    # see `speed_ratios.serving_ratios`
    serving: Mapping[str, ServingMetric] | None
    # variant -> peak of generating in bytes
    memory: Mapping[str, float | None]
    # codes of what the licences ask and the files lack; None = the licence is not known
    licence_faults: Sequence[str] | None
    base_is_random: bool
    # results in use that were known when the margins were declared
    known_results: Sequence[str]


def gate_lines(settings: GateSettings, evidence: Evidence) -> list[GateLine]:
    """Return every line of the gate, quality first.

    Raises:
        DataError: two variants saw different items.
    """
    lines = _quality_lines(settings, evidence)
    benchmarks = [line for line in lines if line.name != HELD_OUT and line.required]
    if not benchmarks:
        lines.append(_line("benchmarks", "check", required=True, code="no_benchmark_required"))
    lines += [
        line
        for line in (
            _merge_line(settings, evidence.merge),
            _contamination_line(settings, evidence.overlaps, evidence.scores),
            _speed_line(settings, evidence.serving),
            _memory_line(settings, evidence.memory),
        )
        if line is not None
    ]
    lines += [
        _licence_line(evidence.licence_faults),
        _line("base_model", "check", required=True)
        if not evidence.base_is_random
        else _line("base_model", "check", "fail", "random_weights", required=True),
        _line("declaration", "check")
        if not evidence.known_results
        else _line("declaration", "check", "fail", "declared_after_results"),
    ]
    return [
        replace(line, required=line.required or line.name in settings.required) for line in lines
    ]


def _quality_lines(settings: GateSettings, evidence: Evidence) -> list[GateLine]:
    """Return the held-out loss and every benchmark that is required or was evaluated."""
    rules, lines = rules_of(settings), []
    if rule := rules.pop(HELD_OUT, None):
        lines.append(held_out_line(rule, evidence.conversations, settings.alpha))
    # as the config lists the benchmarks, then what was not evaluated
    names = [name for name in evidence.scores if name in rules]
    names += [name for name, rule in rules.items() if rule.required and name not in names]
    return lines + [
        benchmark_line(
            name,
            rules[name],
            evidence.scores.get(name),
            evidence.rows.get(name, {}),
            settings.variant,
            settings.alpha,
        )
        for name in names
    ]


def gate_answer(lines: Sequence[GateLine]) -> Answer:
    """Return the answer that the required lines give."""
    verdicts = {line.verdict for line in lines if line.required}
    if "fail" in verdicts:
        return "no"
    return "yes" if verdicts == {"pass"} else "not_shown"


def _merge_line(settings: GateSettings, merge: MergeCheck | None) -> GateLine | None:
    """Hold the saved weights' largest logit difference against its limit."""
    limit = settings.limits.merge_error
    if limit is None or settings.variant != "merged":
        return None
    if merge is None:
        return _line("merge_error", "limit", "missing", "not_measured", unit="logit", bound=limit)
    error = merge["as_saved"]["max_abs_logit_difference"]
    return _limit_line("merge_error", "logit", error, limit, below=True)


def _contamination_line(
    settings: GateSettings, overlaps: Overlaps | None, evaluated: Iterable[str]
) -> GateLine | None:
    """Hold the largest share of overlapping items of a benchmark against its limit."""
    limit = settings.limits.contamination_share
    if limit is None:
        return None
    checked = {
        name
        for name, lengths in (overlaps or {}).items()
        if any(counts["items"] for counts in lengths.values())
    }
    unchecked = sorted(set(evaluated) - checked)
    if overlaps is None or unchecked:
        return _line(
            "contamination",
            "limit",
            "missing",
            "not_measured",
            unit="share",
            bound=limit,
            detail=tuple(unchecked),
        )
    shares = {
        name: counts["overlapping"] / max(1, counts["items"])
        for name, lengths in overlaps.items()
        if lengths and (counts := lengths[max(lengths, key=int)])
    }
    worst = max(shares, key=lambda name: shares[name], default=None)
    share = shares[worst] if worst else 0.0
    line = _limit_line("contamination", "share", share, limit, below=True)
    return replace(line, detail=(worst,)) if worst and share else line


def _speed_line(
    settings: GateSettings, serving: Mapping[str, ServingMetric] | None
) -> GateLine | None:
    """Hold the decode speed over the base's, with its interval, against the least ratio."""
    limit = settings.limits.speed_ratio
    if limit is None:
        return None
    speed = serving.get("decode_tokens_per_second") if serving else None
    ratio = speed["ratio_to_base"].get(settings.variant) if speed else None
    # a single repeat has no interval and shows nothing
    if speed is None or ratio is None or ratio["interval"] is None:
        return _line("speed", "limit", "missing", "not_measured", unit="ratio", bound=limit)
    low, high = ratio["interval"]
    band = speed["noise_band"] or (1.0, 1.0)
    line = _line("speed", "limit", unit="ratio", bound=limit)
    line = replace(line, estimate=ratio["ratio"], interval=(low, high))
    if low >= limit:
        return line
    # a machine on which the base itself falls below the limit shows no slower variant
    if high < limit <= band[0]:
        return replace(line, verdict="fail", code="beyond_limit")
    return replace(line, verdict="not_shown", code="interval_crosses")


def _memory_line(settings: GateSettings, memory: Mapping[str, float | None]) -> GateLine | None:
    """Hold the peak memory over the base's against its limit."""
    limit = settings.limits.memory_ratio
    if limit is None:
        return None
    used, base = memory.get(settings.variant), memory.get("base")
    if not used or not base:
        return _line("memory", "limit", "missing", "not_measured", unit="ratio", bound=limit)
    return _limit_line("memory", "ratio", used / base, limit, below=True)


def _licence_line(faults: Sequence[str] | None) -> GateLine:
    """Say what the licences ask for and the files that would ship lack."""
    if faults is None:
        return _line("licences", "check", "missing", "licence_not_known")
    if faults:
        return _line("licences", "check", "fail", "duty_not_met", detail=tuple(faults))
    return _line("licences", "check")


def _limit_line(name: str, unit: str, value: float, limit: float, *, below: bool) -> GateLine:
    """Hold a number without an interval against its limit; a number that is none passes nothing."""
    within = value <= limit if below else value >= limit
    verdict: LineVerdict = "pass" if within else "fail"
    code = "within_limit" if within else "beyond_limit"
    line = _line(name, "limit", verdict, code, unit=unit, bound=limit)
    return replace(line, estimate=value)


def _line(
    name: str,
    kind: Literal["limit", "check"],
    verdict: LineVerdict | None = None,
    code: str | None = None,
    *,
    required: bool = False,
    unit: str | None = None,
    bound: float | None = None,
    detail: tuple[str, ...] = (),
) -> GateLine:
    """Return a line without a statistic; it passes where nothing else is said."""
    passed = "within_limit" if kind == "limit" else "in_order"
    return GateLine(
        name=name,
        kind=kind,
        required=required,
        verdict=verdict or ("missing" if code else "pass"),
        code=code or passed,
        unit=unit,
        threshold=bound,
        detail=detail,
    )
