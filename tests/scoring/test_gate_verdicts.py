"""Synthetic runs whose right answer follows from one word of reasoning each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorabench.control.configuration import load
from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.scoring.gate import Evaluated, Evidence, gate_answer, gate_lines
from lorabench.scoring.held_out import held_out_conversations
from lorabench.scoring.settings import GateSettings

SIZES = {"gsm8k": 1319, "mmlu": 14042, "mt_bench": 160, "alpaca_eval": 805}
CONFIG = Path(__file__).resolve().parents[2] / "config" / "config.yaml"


def rows(name: str, scores: Any) -> list[ItemResult]:
    """Return item rows of scores; the turns of an MT-Bench question are one cluster."""
    return [
        ItemResult(
            index=index,
            id=str(index),
            cluster=str(index // 2 if name == "mt_bench" else index),
            score=None if score is None else float(score),
            outcome="judged",
            detail={},
        )
        for index, score in enumerate(scores)
    ]


def pair(
    name: str, n: int | None = None, change: Callable[[Any, Any], Any] = lambda scores, _: scores
) -> dict[str, list[ItemResult]]:
    """Return a base's items and the merged model's, which are the base's with a change."""
    draw, size = np.random.default_rng(len(name)), SIZES[name] if n is None else n
    base = {"mt_bench": draw.integers(6, 10, size), "alpaca_eval": draw.uniform(0.1, 0.9, size)}
    scores = base.get(name, draw.random(size) < 0.65).astype(float)
    made = rows(name, change(scores.copy(), draw))
    return {"base": rows(name, scores), "merged": made, "lora": made}


GOOD = {name: pair(name) for name in SIZES}


def losses(change: Any, n: int = 200) -> list[dict[str, Any]]:
    """Return held-out conversations whose loss changes by so many nat a token."""
    changes = np.broadcast_to(change, n)
    return [
        {
            "id": str(i),
            "label_tokens": 100,
            "base_nll_sum": 200.0,
            "adapter_nll_sum": 200 + 100 * by,
        }
        for i, by in enumerate(changes)
    ]


def evidence(**changes: Any) -> Evidence:
    """Return what a run that may ship has measured, with changes."""
    ratio = {"merged": {"ratio": 1.0, "interval": [0.99, 1.01]}}
    speed: Any = {"ratio_to_base": ratio, "noise_band": [0.98, 1.02]}
    found: dict[str, Any] = {
        "scores": {name: Evaluated() for name in SIZES},
        "rows": GOOD,
        "conversations": losses(-0.1),
        "merge": {"as_saved": {"max_abs_logit_difference": 0.5}},
        "overlaps": {name: {"13": {"items": 1000, "overlapping": 0}} for name in SIZES},
        "serving": {"decode_tokens_per_second": speed},
        "memory": {"base": 1e9, "merged": 1e9},
        "licence_faults": [],
        "base_is_random": False,
        "known_results": [],
    }
    return Evidence(**{**found, **changes})


def changed(name: str, change: Callable[[Any, Any], Any], n: int | None = None) -> Evidence:
    """Return a run in which one benchmark's answers change."""
    return evidence(rows={**GOOD, name: pair(name, n, change)})


def without(*names: str) -> Evidence:
    """Return a run in which benchmarks were not evaluated."""
    left = [name for name in SIZES if name not in names]
    return evidence(
        scores={name: Evaluated() for name in left}, rows={name: GOOD[name] for name in left}
    )


def lose(share: float, by: float = 1.0) -> Callable[[Any, Any], Any]:
    """Return a change: a share of the items loses so much."""
    return lambda scores, draw: scores - by * (draw.random(len(scores)) < share)


def wrong(share: float) -> Callable[[Any, Any], Any]:
    """Return a change: a share of the right answers is wrong."""
    return lambda scores, draw: scores * (draw.random(len(scores)) >= share)


def improved(scores: Any, draw: Any) -> Any:
    """Answer a fifth of the items right."""
    return np.maximum(scores, draw.random(len(scores)) < 0.2)


def speed(
    ratio: float, interval: list[float] | None, noise: tuple[float, float] = (0.98, 1.02)
) -> Evidence:
    """Return a run with another decode speed."""
    found: Any = {"merged": {"ratio": ratio, "interval": interval}}
    whole: Any = {"ratio_to_base": found, "noise_band": list(noise)}
    return evidence(serving={"decode_tokens_per_second": whole})


def silent(name: str) -> Evidence:
    """Return a run with a judge that cannot tell good from bad."""
    return evidence(scores={**evidence().scores, name: Evaluated(carries_signal=False)})


def unscored(share: float) -> Callable[[Any, Any], Any]:
    """Return a change: the judge failed on a share of the items."""
    return lambda scores, draw: [
        None if draw.random() < share else score for score in scores.tolist()
    ]


def seesaw(scores: Any, draw: Any) -> Any:
    """Return a change: half of the questions gains 2.9 points, the others lose them."""
    return scores + np.where(np.arange(len(scores)) // 2 % 2, 2.9, -2.9)


def thirteen(mean: float) -> list[dict[str, Any]]:
    """Return the losses of as many conversations as the demo holds out."""
    return losses(np.random.default_rng(2).normal(mean, 0.1, 13), 13)


def ties(n: int) -> Evidence:
    """Return a run whose judge prefers nobody on n instructions."""
    rows_of_ties = rows("alpaca_eval", [0.5] * n)
    made = dict.fromkeys(("base", "merged"), rows_of_ties)
    return evidence(rows={**GOOD, "alpaca_eval": made})


def only(*variants: str) -> Evidence:
    """Return a run in which only these variants were evaluated."""
    found = {name: {v: made[v] for v in variants} for name, made in GOOD.items()}
    return evidence(rows=found)


IMPORTED: Any = {"schema_version": 1, "status": "ok", "from": "elsewhere"}
OVERLAP = {"13": {"items": 1000, "overlapping": 50}}
CLEAN = {"13": {"items": 1000, "overlapping": 5}}
AT_LIMIT = {"13": {"items": 1000, "overlapping": 10}}
NAMES, NOTHING = tuple(SIZES), rows("gsm8k", [0.0] * 1319)
# word -> (what was measured, the answer, changes of the section `gate`)
CASES: dict[str, tuple[Evidence, str] | tuple[Evidence, str, dict[str, Any]]] = {
    "equal": (evidence(), "yes"),
    "harmful on gsm8k": (changed("gsm8k", wrong(0.15)), "no"),
    "harmful on mmlu": (changed("mmlu", wrong(0.05)), "no"),
    "harmful on mt_bench": (changed("mt_bench", lose(1.0, 0.8)), "no"),
    "harmful on alpaca_eval": (changed("alpaca_eval", wrong(0.4)), "no"),
    "harmful on a handful": (changed("gsm8k", wrong(0.1), 16), "not_shown"),
    "harmful near the margin": (changed("mmlu", wrong(0.0147)), "not_shown"),
    "rare collapse": (changed("mt_bench", lose(0.06, 5)), "not_shown"),
    "twelve questions": (changed("mt_bench", lose(0.0), 24), "not_shown"),
    "two questions, both up": (changed("mt_bench", lose(1.0, -1), 4), "not_shown"),
    "better everywhere": (
        changed("gsm8k", improved),
        "yes",
    ),
    "no gsm8k": (without("gsm8k"), "not_shown"),
    "no mmlu": (without("mmlu"), "not_shown"),
    "no judged benchmarks": (without("mt_bench", "alpaca_eval"), "not_shown"),
    "no benchmarks": (without(*NAMES), "not_shown"),
    "no benchmark asked": (without(*NAMES), "not_shown", {"required": ["held_out_loss"]}),
    "merged not evaluated": (
        evidence(rows={**GOOD, "mmlu": {"base": GOOD["mmlu"]["base"]}}),
        "not_shown",
    ),
    "mute judge of mt_bench": (silent("mt_bench"), "not_shown"),
    "mute judge of alpaca_eval": (silent("alpaca_eval"), "not_shown"),
    "judge fails often": (changed("alpaca_eval", unscored(0.2)), "not_shown"),
    "judge fails seldom": (changed("alpaca_eval", unscored(0.02)), "yes"),
    "base solves nothing": (
        evidence(
            rows={**GOOD, "gsm8k": {v: rows("gsm8k", [0.0] * 1319) for v in ("base", "merged")}}
        ),
        "not_shown",
    ),
    "loss rises": (evidence(conversations=losses(0.6)), "no"),
    "loss stands still": (evidence(conversations=losses(0.0)), "not_shown"),
    "loss falls by noise": (
        evidence(conversations=losses(np.random.default_rng(1).normal(-0.002, 0.1, 200))),
        "not_shown",
    ),
    "loss falls, few collapse": (
        evidence(conversations=losses(np.where(np.arange(200) < 3, 4.0, -0.1))),
        "not_shown",
    ),
    "eight conversations": (evidence(conversations=losses(-0.5, 8)), "not_shown"),
    "imported without likelihood": (
        evidence(conversations=held_out_conversations(IMPORTED)),
        "not_shown",
    ),
    "saved weights off": (
        evidence(merge={"as_saved": {"max_abs_logit_difference": 7.5}}),
        "no",
    ),
    "saved weights NaN": (
        evidence(merge={"as_saved": {"max_abs_logit_difference": float("nan")}}),
        "no",
    ),
    "merge not measured": (evidence(merge=None), "not_shown"),
    "adapter ships, not timed": (
        evidence(merge=None),
        "not_shown",
        {"variant": "lora"},
    ),
    "contaminated": (evidence(overlaps={**dict.fromkeys(NAMES, CLEAN), "gsm8k": OVERLAP}), "no"),
    "hardly contaminated": (evidence(overlaps=dict.fromkeys(NAMES, CLEAN)), "yes"),
    "contamination unknown": (evidence(overlaps=None), "not_shown"),
    "one benchmark unchecked": (evidence(overlaps={"gsm8k": CLEAN}), "not_shown"),
    "slow": (speed(0.6, [0.58, 0.62]), "no"),
    "slow within noise": (speed(0.9, [0.8, 1.0]), "not_shown"),
    "speed not measured": (evidence(serving=None), "not_shown"),
    "large": (evidence(memory={"base": 1e9, "merged": 1.3e9}), "no"),
    "memory not measured": (evidence(memory={}), "not_shown"),
    "licence unknown": (evidence(licence_faults=None), "not_shown"),
    "licence text missing": (evidence(licence_faults=["licence_text"]), "no"),
    "random base": (evidence(base_is_random=True), "no"),
    "late margins": (evidence(known_results=["eval/base/gsm8k.jsonl"]), "yes"),
    "late margins forbidden": (
        evidence(known_results=["eval/base/gsm8k.jsonl"]),
        "no",
        {"required": ["gsm8k", "declaration"]},
    ),
    "gain asked, none there": (
        evidence(),
        "no",
        {"improvements": {"held_out_loss": 0.0, "mmlu": 0.02}},
    ),
    "the case that once shipped": (
        evidence(
            rows={**GOOD, "gsm8k": pair("gsm8k", 16, wrong(0.3))},
            conversations=thirteen(0.6),
            merge={"as_saved": {"max_abs_logit_difference": 7.5}},
        ),
        "no",
    ),
    "thirteen conversations get worse": (
        evidence(conversations=thirteen(0.6)),
        "no",
    ),
    "thirteen conversations get better": (
        evidence(conversations=thirteen(-0.4)),
        "yes",
    ),
    "no held-out conversations": (evidence(conversations=None), "not_shown"),
    "judged benchmarks only, others asked": (without("gsm8k", "mmlu"), "not_shown"),
    "judged benchmarks only, as asked": (
        without("gsm8k", "mmlu"),
        "yes",
        {"required": ["mt_bench", "alpaca_eval"]},
    ),
    "unmerged evaluated, merged ships": (only("base", "lora"), "not_shown"),
    "base not evaluated": (only("lora", "merged"), "not_shown"),
    "five problems, all solved": (changed("gsm8k", lambda s, d: s * 0 + 1, 5), "not_shown"),
    "thirty questions unchanged": (changed("mt_bench", lambda s, d: s, 60), "not_shown"),
    "eighty questions unchanged": (changed("mt_bench", lambda s, d: s), "yes"),
    "half up, half down": (changed("mt_bench", seesaw), "not_shown"),
    "ties everywhere": (ties(805), "yes"),
    "sixteen ties": (ties(16), "not_shown"),
    "saved weights off, answers equal": (
        evidence(merge={"as_saved": {"max_abs_logit_difference": 2.1}}),
        "no",
    ),
    "one subject forgotten": (
        changed("mmlu", lambda s, d: np.where(np.arange(len(s)) < 300, 0, s)),
        "no",
    ),
    "overlap without n-grams": (evidence(overlaps={name: {} for name in NAMES}), "not_shown"),
    "overlap at its limit": (
        evidence(overlaps=dict.fromkeys(NAMES, AT_LIMIT)),
        "yes",
    ),
    "slow on a noisy machine": (speed(0.6, [0.58, 0.62], (0.5, 2.0)), "not_shown"),
    "timed once": (speed(0.95, None), "not_shown"),
    "gain asked and shown": (
        changed("gsm8k", improved),
        "yes",
        {"improvements": {"held_out_loss": 0.0, "gsm8k": 0.02}},
    ),
    "better but unlicensed": (replace(changed("gsm8k", improved), licence_faults=["notice"]), "no"),
    "harmful and unknown": (replace(changed("gsm8k", wrong(0.15)), merge=None), "no"),
}


@pytest.mark.parametrize("word", CASES)
def test_the_answer_is_the_right_one(word: str) -> None:
    """Missing or not shown is never yes, and a failure is a no whatever else is missing."""
    found, expected, changes = (*CASES[word], {})[:3]
    section = {**load([CONFIG])["gate"], **changes}
    lines = gate_lines(GateSettings.parse_section(section, "gate"), found)
    verdicts = {line.name: (line.verdict, line.code) for line in lines}
    assert gate_answer(lines) == expected, verdicts


NAN = float("nan")


@pytest.mark.parametrize(
    "found",
    [
        changed("gsm8k", lambda s, d: np.where(np.arange(len(s)) < 2, NAN, s)),
        changed("mt_bench", lambda s, d: np.where(np.arange(len(s)) < 2, NAN, s)),
        evidence(conversations=losses(np.where(np.arange(200) < 1, NAN, -0.1))),
        evidence(rows={**GOOD, "gsm8k": {"base": GOOD["gsm8k"]["base"], "merged": NOTHING[:1300]}}),
    ],
    ids=["no number", "no rating", "no loss", "other items"],
)
def test_what_cannot_be_compared_is_refused(found: Evidence) -> None:
    """No verdict from values that are no numbers or from other items."""
    with pytest.raises(DataError, match=r"finite|different items"):
        gate_lines(GateSettings.parse_section(load([CONFIG])["gate"], "gate"), found)
