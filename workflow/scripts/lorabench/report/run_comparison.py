"""Compare runs, read from results/{run} or from an export, item by item."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup

from lorabench.documents.comparison import Contrast, HeldOutLoss, PairName
from lorabench.documents.item_result import ItemResult
from lorabench.documents.score import Score, Scored
from lorabench.errors import DataError
from lorabench.files import read_json
from lorabench.report.plain_text import printable
from lorabench.report.rendering import page_environment
from lorabench.report.wording import (
    contrast_text,
    difference_text,
    interval_text,
    loss_change_text,
    p_text,
    score_text,
)
from lorabench.scoring.benchmark import scored_benchmark
from lorabench.scoring.comparison import add_verdicts, compare_benchmark
from lorabench.scoring.item_rows import read_item_results
from lorabench.scoring.settings import ComparisonSettings

# as in config/config.yaml; equivalence is not asked here
SETTINGS = ComparisonSettings(
    resamples=2000, seed=0, equivalence_margin_share=0.01, equivalence_margin_rating=0.1
)
# benchmark -> variant -> score file
Scores = Mapping[str, Mapping[str, Score]]
# for each further run: benchmark -> contrast with the first
Contrasts = Sequence[Mapping[str, Contrast]]
# the end of a protocol sentence that counts failures of one run
COUNTED = re.compile(r"; \d+ of \d+ items have a score$")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One variant of a run, as far as it was scored."""

    # its folder and its variant, which is how the user knows it
    name: str
    # benchmark -> score file
    scores: dict[str, Scored]
    # benchmark -> item rows
    rows: dict[str, list[ItemResult]]
    # benchmark -> hash of the answers that a judge compared with, where a variant wrote them
    opponents: dict[str, str]
    # nats per answer token of the variant, None where it was not measured
    held_out_loss: float | None
    # of its change against the base, with its interval; None for the base
    held_out_change: str | None = None


def read_run(folder: Path, variant: str) -> Run:
    """Return a variant of a run from its folder or its export.

    Raises:
        DataError: the folder is neither, or nothing was scored.
    """
    if (folder / "eval").is_dir():
        scores = _scores(folder / "eval")
        done = _done(scores, variant)
        items = folder / "eval" / variant
        rows = {name: read_item_results(items / f"{name}.jsonl") for name in done}
        document = folder / "report" / "report.json"
    elif (folder / "eval_results.json").is_file():
        scores = read_json(folder / "eval_results.json")["scores"]
        rows = _exported_rows(folder, variant)
        done = {name: score for name, score in _done(scores, variant).items() if name in rows}
        document = folder / "report.json"
    else:
        raise DataError(
            f"{folder}: neither a run (no folder eval) nor an export (no eval_results.json);"
            " give results/RUN or reports/bench/COMMIT"
        )
    if not done:
        raise DataError(f"{folder}: no benchmark of {variant} has a score; nothing to compare")
    loss = change = None
    if document.is_file():
        validation = (read_json(document).get("training") or {}).get("validation") or {}
        loss = validation.get("base_nll" if variant == "base" else "adapter_nll")
        if validation and variant != "base":
            change = loss_change_text(cast(HeldOutLoss, validation))
    return Run(
        # the page may be sent to somebody whom this machine's folders do not concern
        name=f"{Path(*folder.parts[-2:]) if folder.is_absolute() else folder}, {variant}",
        scores=done,
        rows=rows,
        opponents=_opponents(scores, done),
        held_out_loss=loss,
        held_out_change=change,
    )


def compare_runs(runs: Sequence[Run]) -> list[dict[str, Contrast]]:
    """Return for each further run benchmark -> contrast with the first run, Holm-corrected.

    Raises:
        DataError: a benchmark was made by different protocols or on different items, or the runs
            have none in common.
    """
    first, *others = runs
    if not others:
        raise DataError("one folder was given; give at least two, as A and B")
    found: list[dict[str, dict[PairName, Any]]] = []
    for other in others:
        common = [name for name in first.scores if name in other.scores]
        if not common:
            raise DataError(f"{first.name} and {other.name} have no scored benchmark in common")
        found.append({name: _pair(name, first, other) for name in common})
    add_verdicts(
        {f"{n}:{name}": pair for n, pairs in enumerate(found) for name, pair in pairs.items()}
    )
    return [{name: pair["lora_vs_base"] for name, pair in pairs.items()} for pairs in found]


def _pair(name: str, first: Run, other: Run) -> dict[PairName, Any]:
    """Return the contrast of a benchmark, under the name of the adapter against the base."""
    _check_protocol(name, first, other)
    signal = all(run.scores[name].get("carries_signal", True) for run in (first, other))
    rows = {"base": first.rows[name], "lora": other.rows[name]}
    confidence = first.scores[name]["confidence"]
    try:
        return compare_benchmark(scored_benchmark(name), rows, signal, confidence, SETTINGS)
    except DataError as error:
        raise DataError(f"{name}: {first.name} and {other.name}: {error}") from None


def runs_text(runs: Sequence[Run], contrasts: Contrasts) -> str:
    """Return a table of runs for a terminal, and a line for each comparison."""
    lines = []
    for number, run in enumerate(runs):
        loss = "" if run.held_out_loss is None else f", held-out loss {run.held_out_loss:.3f} nat"
        if run.held_out_change:
            loss += f" ({run.held_out_change})"
        lines.append(f"{letter(number)}  {run.name}{loss}")
        for name, score in run.scores.items():
            unit = score["unit"]
            lines.append(
                f"   {scored_benchmark(name).title:<12} {score_text(score['score'], unit)}"
                f" {interval_text(score['interval'], unit)}, n = {score['n']:,}"
            )
    for number, found in enumerate(contrasts, start=1):
        lines += ["", f"{letter(number)} against A, paired by item:"]
        for name, contrast in found.items():
            shown = _contrast_line(contrast, runs[0].scores[name]["unit"])
            lines.append(f"   {scored_benchmark(name).title:<12} {shown}")
    lines += ["", f"p is adjusted over {corrected(contrasts)} comparisons (Holm)."]
    return "\n".join(lines)


def render_runs(
    template: str, style: str, runs: Sequence[Run], contrasts: Contrasts, spreads: Any = ()
) -> str:
    """Return the page: scores, paired differences to A, and the spreads over seeds.

    `spreads` are of `seed_spread.SeedSpread`.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    page = page_environment().from_string(template)
    text = page.render(
        runs=[{"letter": letter(n), "run": run} for n, run in enumerate(runs)],
        tables={name: scored_benchmark(name) for name in names},
        contrasts=[{"letter": letter(n), "found": f} for n, f in enumerate(contrasts, start=1)],
        corrected=corrected(contrasts),
        spreads=spreads,
        style=Markup(style),
    )
    return printable(text)


def corrected(contrasts: Contrasts) -> int:
    """Return over how many comparisons p was adjusted: those that carry a signal."""
    every = [contrast for found in contrasts for contrast in found.values()]
    return sum(contrast.get("p_value_holm") is not None for contrast in every)


def _contrast_line(contrast: Contrast, unit: str) -> str:
    if contrast["status"] != "ok":
        return contrast["reason"]
    return (
        f"{difference_text(contrast['difference'], unit)}"
        f" {interval_text(contrast['interval'], unit)}, p {p_text(contrast['p_value_holm'])},"
        f" {contrast['items_changed']} of {contrast['n']} items changed:"
        f" {contrast_text(contrast, unit)}"
    )


def letter(number: int) -> str:
    """Return how a run is called, from 0: A, B, …, Z, 27."""
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _check_protocol(name: str, first: Run, other: Run) -> None:
    one, two = (COUNTED.sub("", run.scores[name]["protocol"]) for run in (first, other))
    if one != two:
        raise DataError(
            f"{name}: {first.name} and {other.name} were made by different protocols"
            f" ({_first_difference(one, two)}); only scores of one protocol compare"
        )
    if first.opponents.get(name) != other.opponents.get(name):
        raise DataError(
            f"{name}: the judge compared {first.name} and {other.name} with the answers of"
            " different bases; judge both against one reference"
        )


def _first_difference(one: str, two: str) -> str:
    """Return the first clause in which two sentences differ."""
    for left, right in zip(one.split("; "), two.split("; "), strict=False):
        for mine, theirs in zip(left.split(", "), right.split(", "), strict=False):
            if mine != theirs:
                return f'"{mine}" and "{theirs}"'
    return "one says more than the other"


def _scores(folder: Path) -> Scores:
    """Return benchmark -> variant -> score file of a run's folder eval."""
    scores: dict[str, dict[str, Score]] = {}
    for path in sorted(folder.glob("*/*.json")):
        scores.setdefault(path.stem, {})[path.parent.name] = read_json(path)
    return scores


def _done(scores: Scores, variant: str) -> dict[str, Scored]:
    return {
        name: score
        for name, found in scores.items()
        if (score := found.get(variant)) and score["status"] == "ok"
    }


def _opponents(scores: Scores, done: Mapping[str, Scored]) -> dict[str, str]:
    """Return benchmark -> hash of the reference variant's answers."""
    opponents = {}
    for name, score in done.items():
        reference = scores[name].get(str(score["protocol_detail"].get("reference")))
        detail = reference["protocol_detail"] if reference and reference["status"] == "ok" else {}
        if detail.get("answers_sha256"):
            opponents[name] = str(detail["answers_sha256"])
    return opponents


def _exported_rows(folder: Path, variant: str) -> dict[str, list[ItemResult]]:
    """Return the item rows of an export; those of judged answers have scores only."""
    rows: dict[str, list[ItemResult]] = {}
    for path in sorted(folder.glob("*.json")):
        if not path.name.endswith(("_results.json", "_outputs.json")):
            continue
        document = read_json(path)
        name, found = document.get("benchmark"), (document.get("variants") or {}).get(variant)
        if name and found and found.get("items"):
            rows[name] = [ItemResult(**row) for row in found["items"]]
        elif name and found and found.get("outputs"):
            rows[name] = _judged_rows(found["outputs"])
    return rows


def _judged_rows(outputs: Sequence[Mapping[str, Any]]) -> list[ItemResult]:
    rows: list[ItemResult] = []
    for output in outputs:
        name, scores = output["id"], output["scores"]
        for turn, score in enumerate(scores, start=1):
            row = ItemResult(
                index=len(rows),
                # as judges name the turns of a question
                id=f"{name}-{turn}" if len(scores) > 1 else name,
                cluster=name,
                score=score,
                outcome="judged" if score is not None else "judge_failed",
                detail={"turn": turn, "category": output["category"]},
            )
            rows.append(row)
    return rows
