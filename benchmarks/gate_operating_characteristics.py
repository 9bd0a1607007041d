"""How often is the gate right? Adapters of known effect through the gate's own statistics.

    python benchmarks/gate_operating_characteristics.py --repeats 400 --seed 0
    python benchmarks/gate_operating_characteristics.py --rare --repeats 1000

Every repeat draws items of base and variant, and the real lines of the gate judge them. Adapters:
    identical    the same answers on every item (a zero B matrix)
    equal        no effect on average, with as many changed items as an adapter usually changes
    margin       worse by exactly the margin, changes in both directions
    rare losses  worse by exactly the margin, which a few items lose entirely and the rest not
    twice        worse by twice the margin
    helpful      better by the margin
A pass of margin, rare losses or twice is a wrong "ship": at most alpha = 5 % of the first two may
be. The last rows put all lines together: the answer of a gate that requires all of them. Held-out
loss: "margin" is no change on average, "twice" +0.05 nat a token, "helpful" -0.05.
--rare prints how often populations at exactly the threshold pass in which few units lose much and
all others change by the same small amount.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.documents.gate import GateLine
from lorabench.documents.item_result import ItemResult
from lorabench.scoring.gate import gate_answer, rules_of
from lorabench.scoring.gate_quality import Evaluated, benchmark_line, held_out_line
from lorabench.scoring.settings import GateSettings

ADAPTERS = ("identical", "equal", "margin", "rare losses", "twice", "helpful")
# the mean effect in margins
EFFECTS = {
    "identical": 0.0,
    "equal": 0.0,
    "margin": -1.0,
    "rare losses": -1.0,
    "twice": -2.0,
    "helpful": 1.0,
}
# independent units: items, MT-Bench questions, held-out conversations
SIZES = {
    "demo": {"held_out_loss": 13, "gsm8k": 16, "mmlu": 60, "mt_bench": 8, "alpaca_eval": 16},
    "full": {
        "held_out_loss": 500,
        "gsm8k": 1319,
        "mmlu": 14042,
        "mt_bench": 80,
        "alpaca_eval": 805,
    },
}
# share of items that one of two variants gets right, of right answers
FLIPS = {"gsm8k": 0.12, "mmlu": 0.10}
SKILL = {"gsm8k": 0.7, "mmlu": 0.65}
# standard deviations of a change: of a question and of a turn in points, of a preference
QUESTION_SPREAD, TURN_SPREAD, PREFERENCE_SPREAD = 0.6, 1.0, 0.45
Scores = tuple[Sequence[float], Sequence[float]]


def right_or_wrong(
    name: str, adapter: str, n: int, margin: float, draw: np.random.Generator
) -> Scores:
    """Return right or wrong answers of base and variant, [n] each."""
    effect = EFFECTS[adapter] * margin
    flips = 0.0 if adapter == "identical" else max(FLIPS[name], abs(effect))
    lost, gained = (flips - effect) / 2, (flips + effect) / 2
    if adapter == "rare losses":
        lost, gained = margin, 0.0
    base = draw.random(n) < SKILL[name]
    chance = draw.random(n)
    variant = np.where(base, chance >= lost / SKILL[name], chance < gained / (1 - SKILL[name]))
    return base.astype(float), variant.astype(float)


def ratings(adapter: str, questions: int, margin: float, draw: np.random.Generator) -> Scores:
    """Return the ratings of base and variant, two turns a question, [2 x questions] each."""
    base = np.clip(draw.normal(7.8, 1.8, 2 * questions), 4, 9.5)
    if adapter == "identical":
        return base, base
    if adapter == "rare losses":
        return base, base - 3 * (draw.random(2 * questions) < margin / 3)
    changes = np.repeat(draw.normal(0, QUESTION_SPREAD, questions), 2)
    changes = changes + draw.normal(EFFECTS[adapter] * margin, TURN_SPREAD, 2 * questions)
    return base, base + changes


def preferences(adapter: str, n: int, margin: float, draw: np.random.Generator) -> Scores:
    """Return preferences head to head, the base's are 0.5, [n] each."""
    base = np.full(n, 0.5)
    if adapter == "identical":
        return base, base
    if adapter == "rare losses":
        return base, np.where(draw.random(n) < 2 * margin, 0.0, 0.5)
    # most judges are sure: near 0 or 1, with the mean that the effect asks for
    mean = 0.5 + EFFECTS[adapter] * margin
    size = mean * (1 - mean) / PREFERENCE_SPREAD**2 - 1
    return base, draw.beta(mean * size, (1 - mean) * size, n)


def losses(adapter: str, conversations: int, draw: np.random.Generator) -> list[dict[str, float]]:
    """Return held-out conversations of skewed length whose losses change by a known mean."""
    tokens = draw.lognormal(5, 0.8, conversations).astype(int) + 1
    mean = {"twice": 0.05, "helpful": -0.05}.get(adapter, 0.0)
    change = draw.normal(mean, 0.06, conversations)
    if adapter == "identical":
        change = np.zeros(conversations)
    if adapter == "rare losses":
        change = np.where(draw.random(conversations) < 0.01, 1.98, -0.02)
    return [
        {"label_tokens": int(size), "base_nll_sum": 2.0 * size, "adapter_nll_sum": (2 + by) * size}
        for size, by in zip(tokens, change, strict=True)
    ]


# line -> units, (share that loses, how much); the others gain or lose what leads to the threshold
RARE: dict[str, tuple[Sequence[int], Sequence[tuple[float, float]]]] = {
    "held_out_loss": (
        (60, 200, 500),
        ((0.02, 1), (0.01, 2), (0.01, 5), (0.005, 2), (0.005, 4), (0.005, 5), (0.003, 8)),
    ),
    "mt_bench": (
        (30, 80, 160),
        ((0.117, 3), (0.07, 5), (0.05, 7), (0.0389, 9), (0.08, 7), (0.0286, 7), (0.0222, 9)),
    ),
}


def rare_pass(
    name: str, n: int, share: float, by: float, settings: GateSettings, draw: np.random.Generator
) -> bool:
    """Return whether one sample passes in which `share` of the units loses `by`."""
    rule, lose = rules_of(settings)[name], draw.random(n) < share
    # of the mean loss to the threshold
    changes = (share - lose) * by + rule.threshold
    if name == "held_out_loss":
        tokens = draw.lognormal(5, 0.8, n).astype(int) + 1
        rows = [
            {
                "label_tokens": int(size),
                "base_nll_sum": 2.0 * size,
                "adapter_nll_sum": (2 - gain) * size,
            }
            for size, gain in zip(tokens, changes, strict=True)
        ]
        return held_out_line(rule, rows, settings.alpha).verdict == "pass"
    base = np.full(2 * n, 9.5)
    items = {"base": rows_of(name, base), "merged": rows_of(name, base + np.repeat(changes, 2))}
    return (
        benchmark_line(name, rule, Evaluated(), items, "merged", settings.alpha).verdict == "pass"
    )


def print_rare(settings: GateSettings, repeats: int, seed: int) -> None:
    """Print a Markdown table: a row a population, a column a number of units."""
    for name, (sizes, cases) in RARE.items():
        heads = [f"{n} units" for n in sizes]
        print(f"{name}: wrong passes in % of {repeats}\n\n| lose | {' | '.join(heads)} |")
        print(f"| --- |{' ---: |' * len(sizes)}")
        for share, by in cases:
            words = []
            for n in sizes:
                draw = np.random.default_rng([seed, n, round(share * 1e4), round(by)])
                passed = sum(rare_pass(name, n, share, by, settings, draw) for _ in range(repeats))
                words.append(f"{100 * passed / repeats:.1f}")
            print(f"| {100 * share:.3g} % lose {by} | {' | '.join(words)} |", flush=True)
        print()


def rows_of(name: str, scores: Sequence[float]) -> list[ItemResult]:
    """Return item rows of scores; the two turns of an MT-Bench question are one cluster."""
    return [
        ItemResult(
            index=index,
            id=str(index),
            cluster=str(index // 2 if name == "mt_bench" else index),
            score=float(score),
            outcome="judged",
            detail={},
        )
        for index, score in enumerate(scores)
    ]


def line_of(
    name: str, adapter: str, n: int, settings: GateSettings, draw: np.random.Generator
) -> GateLine:
    """Return the gate's line of one drawn run."""
    rule = rules_of(settings)[name]
    if name == "held_out_loss":
        return held_out_line(rule, losses(adapter, n, draw), settings.alpha)
    make: dict[str, Callable[..., Scores]] = {"mt_bench": ratings, "alpaca_eval": preferences}
    if name in make:
        base, variant = make[name](adapter, n, -rule.threshold, draw)
    else:
        base, variant = right_or_wrong(name, adapter, n, -rule.threshold, draw)
    rows = {"base": rows_of(name, base), "merged": rows_of(name, variant)}
    return benchmark_line(name, rule, Evaluated(), rows, "merged", settings.alpha)


def simulate(
    settings: GateSettings, size: str, adapter: str, repeats: int, seed: int
) -> Iterator[tuple[str, Counter[str]]]:
    """Yield (name, verdicts) of every line, of all benchmarks together and of the whole gate."""
    verdicts: dict[str, Counter[str]] = {name: Counter() for name in SIZES[size]}
    together: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for repeat in range(repeats):
        draw = np.random.default_rng(
            [seed, ADAPTERS.index(adapter), list(SIZES).index(size), repeat]
        )
        lines = [line_of(name, adapter, n, settings, draw) for name, n in SIZES[size].items()]
        for line in lines:
            verdicts[line.name][line.verdict] += 1
        together[gate_answer(lines[1:])] += 1
        whole[gate_answer(lines)] += 1
    yield from verdicts.items()
    yield "all benchmarks", together
    yield "all, with held-out loss", whole


def main() -> None:
    """Print one Markdown table a size: a row a line, a column an adapter."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rare", action="store_true")
    chosen = parser.parse_args()
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    settings = GateSettings.parse_section(config["gate"], "gate")
    if chosen.rare:
        print_rare(settings, chosen.repeats, chosen.seed)
        return
    for size in chosen.sizes:
        cells: dict[str, list[str]] = {}
        for adapter in ADAPTERS:
            for name, counts in simulate(settings, size, adapter, chosen.repeats, chosen.seed):
                shares = (counts["pass"] + counts["yes"], counts["fail"] + counts["no"])
                words = [f"{100 * share / chosen.repeats:.1f}" for share in shares]
                cells.setdefault(name, []).append(" / ".join(words))
        print(f"{size}: pass / fail in % of {chosen.repeats}, the rest is not shown\n")
        print(f"| line | {' | '.join(ADAPTERS)} |")
        print(f"| --- |{' ---: |' * len(ADAPTERS)}")
        for name, words in cells.items():
            print(f"| {name} | {' | '.join(words)} |")
        print(flush=True)


if __name__ == "__main__":
    main()
