"""Figures from token times, on made-up rows with known answers."""

from dataclasses import replace

import numpy as np
import pytest

from lorabench.documents.token_times import TokenTimes
from lorabench.errors import MeasurementError
from lorabench.scoring.inference_summary import (
    PER_GENERATION,
    decode_tokens_per_second,
    distribution,
    is_beyond,
    ratio_table,
    ratios_to_base,
    summarise,
    summarise_categories,
)

REPEATS, PROMPTS, NEW_TOKENS = 4, 6, 9


def rows(
    variant: str, slowdown: float = 1.0, noise: float = 0.01, seed: int = 0
) -> list[TokenTimes]:
    """Return rows whose every token takes `slowdown` times as long, within `noise`."""
    generator = np.random.default_rng(seed)
    made = []
    for repeat in range(REPEATS):
        for prompt in range(PROMPTS):
            first, *gaps = (
                slowdown
                * np.array([50.0, *[10.0] * (NEW_TOKENS - 1)])
                * np.exp(generator.normal(0, noise, NEW_TOKENS))
            )
            made.append(
                TokenTimes(
                    variant=variant,
                    repeat=repeat,
                    order=0,
                    prompt_id=f"prompt-{prompt}",
                    category="even" if prompt % 2 == 0 else "odd",
                    prompt_tokens=100,
                    prompt_sha256=f"hash-{prompt}",
                    new_tokens=NEW_TOKENS,
                    time_to_first_token_ms=float(first),
                    inter_token_latencies_ms=[float(gap) for gap in gaps],
                    end_to_end_ms=float(first + sum(gaps)),
                )
            )
    return made


def test_metrics_follow_their_definitions() -> None:
    """Each metric of a generation equals its formula, worked out by hand."""
    row = rows("base", noise=0.0)[0]
    values = {name: metric(row) for name, metric in PER_GENERATION.items()}
    assert values == pytest.approx(
        {
            "time_to_first_token_ms": 50.0,
            "inter_token_latency_ms": 10.0,
            "decode_tokens_per_second": 100.0,
            "end_to_end_tokens_per_second": 1000 * 9 / 130,
            "prefill_tokens_per_second": 2000.0,
            "end_to_end_ms": 130.0,
        }
    )


def test_latency_between_tokens_is_pooled_without_the_first() -> None:
    """The pooled percentiles run over all gaps of all rows and say how many there are."""
    made = rows("base")
    gaps = [gap for row in made for gap in row.inter_token_latencies_ms]
    summary = summarise(made)["inter_token_latency_ms"]
    assert summary["n"] == REPEATS * PROMPTS * (NEW_TOKENS - 1)
    assert summary["p95"] == pytest.approx(np.percentile(gaps, 95))
    assert summary["median"] == summary["p50"] == pytest.approx(np.median(gaps))


def test_p99_needs_enough_values() -> None:
    """Below 500 values p99 is not given, since it would be the largest of a few."""
    assert distribution([1.0] * 499)["p99"] is None
    assert distribution([1.0] * 500)["p99"] == 1.0


def test_categories_split_the_rows() -> None:
    """Each category has its own rows' figures."""
    made = rows("base")
    categories = summarise_categories(made)
    assert list(categories) == ["even", "odd"]
    assert categories["odd"] == summarise([row for row in made if row.category == "odd"])


def test_ratios_pair_prompt_and_repeat() -> None:
    """A slow prompt and a slow repeat cancel: the ratio of every pair is the variant's own."""
    base = [
        replace(row, end_to_end_ms=row.end_to_end_ms * (1 + row.repeat))
        for row in rows("base", noise=0.0)
    ]
    lora = [
        replace(row, variant="lora", end_to_end_ms=row.end_to_end_ms * 1.5)
        for row in reversed(base)
    ]
    table = ratio_table(base, lora, PER_GENERATION["end_to_end_ms"])
    assert table.shape == (REPEATS, PROMPTS)
    assert table == pytest.approx(np.full((REPEATS, PROMPTS), 1.5))


def test_real_slowdown_is_told_from_noise() -> None:
    """A variant 1.5 times as slow is outside the A/A band; an equal one is not."""
    base, again = rows("base", seed=1), rows("base_again", seed=2)
    slow = ratios_to_base(base, again, rows("lora", slowdown=1.5, seed=3))[
        "decode_tokens_per_second"
    ]
    same = ratios_to_base(base, again, rows("merged", seed=4))["decode_tokens_per_second"]
    assert slow["interval"] is not None
    assert slow["interval"][0] <= 1 / 1.5 <= slow["interval"][1]
    assert slow["beyond_noise"] and not same["beyond_noise"]
    assert same["noise_band"][0] < 1 < same["noise_band"][1]


def test_one_generation_shows_nothing() -> None:
    """Without an interval no ratio counts as beyond the noise."""
    assert not is_beyond(None, (0.9, 1.1))
    one = rows("base")[:1]
    ratio = ratios_to_base(one, one, rows("lora", slowdown=3.0)[:1])["decode_tokens_per_second"]
    assert ratio["interval"] is None and not ratio["beyond_noise"]


def test_missing_partner_and_other_prompt_are_refused() -> None:
    """Rows without a partner, or with other token ids, are an error that names them."""
    base = rows("base")
    with pytest.raises(
        MeasurementError, match="repeat 3 of prompt 'prompt-5' was measured on one side only"
    ):
        ratio_table(base, rows("lora")[:-1], decode_tokens_per_second)
    other = [replace(row, prompt_sha256="another") for row in rows("lora")]
    with pytest.raises(MeasurementError, match="other token ids for lora"):
        ratio_table(base, other, decode_tokens_per_second)
