"""The second question of a report: what does it cost to serve?

For each variant: memory, the speed that one user sees, users within latency limits, and money; then
one sentence of advice. A speed that measured Python's launches on a GPU is labelled so and decides
nothing; where a server was measured, its ratio decides.
"""

from collections.abc import Collection, Mapping, Sequence

from lorabench.documents.comparison import (
    ReasonStatus,
    ServingMetric,
    ShortAnswer,
    SpeedRatio,
    SpeedVerdict,
)
from lorabench.documents.performance import LimitAnswer, Measured, Performance
from lorabench.report.decisions import reason
from lorabench.report.wording import VARIANT_TITLES, bytes_text, ratio_text

# width of the noise band above which no cost can be named
TOO_NOISY = 0.4
LAUNCH_BOUND = (
    "the GPU waited for Python's launches, which a server does not: not a cost of serving"
)


def cost_to_serve(
    serving: Mapping[str, ServingMetric] | None,
    memory: Mapping[str, float | None],
    perf: Sequence[Performance],
) -> ShortAnswer:
    """Answer from what was measured.

    Args:
        serving: the speed ratios of one user, see `speed_ratios`.
    """
    if serving is None:
        return {"answer": "not measured", "headline": "Inference was not measured.", "reasons": []}
    measured = {document["variant"]: document for document in perf if document["status"] == "ok"}
    decode = serving["decode_tokens_per_second"]
    first = serving["time_to_first_token_ms"]
    reasons = []
    for variant, title in VARIANT_TITLES.items():
        if variant in decode["median"]:
            parts = _variant_parts(variant, serving, memory.get(variant), measured[variant])
            ratios = [metric["ratio_to_base"].get(variant) for metric in (decode, first)]
            verdicts = {ratio["verdict"] for ratio in ratios if ratio}
            reasons.append(reason(_status(verdicts), title, parts))
    bound = any(document["single_stream"]["launch_bound"] for document in measured.values())
    if bound:
        reasons.append(reason("unknown", f"speed of one user: {LAUNCH_BOUND}"))
    band = decode["noise_band"]
    if band is not None:
        noise = (
            f"noise of this machine: the base against itself reads {band[0]:.2f} to {band[1]:.2f}"
            " in decode speed"
        )
        reasons.append(reason("neutral", noise))
    server: dict[str, SpeedRatio] = {
        name: ratio
        for name in ("lora", "merged")
        if name in measured and (ratio := _server_ratio(measured[name]))
    }
    if server:
        words = ", ".join(
            f"{VARIANT_TITLES[name]} {ratio_text(one)} ({one['verdict']})"
            for name, one in server.items()
        )
        text = f"on the measured server, times the base's tokens/s for each user: {words}"
        reasons.append(reason("neutral", text))
    deciding = server or ({} if bound else decode["ratio_to_base"])
    # a server's verdicts already regard its own noise
    answer, headline = _headline(deciding, None if server else band, launch_bound=bound)
    return {"answer": answer, "headline": headline, "reasons": reasons}


def _status(verdicts: Collection[str]) -> ReasonStatus:
    return "bad" if "slower" in verdicts else "good" if "faster" in verdicts else "neutral"


def _variant_parts(
    variant: str, serving: Mapping[str, ServingMetric], used: float | None, document: Measured
) -> list[str]:
    """Return what a variant takes and gives, a line each."""
    parts = []
    if used:
        kept = bytes_text(document["memory_per_stream"]["kv_bytes"])
        parts.append(f"{bytes_text(used)} for one user, {kept} of it keys and values")
    parts += _speed_parts(variant, serving, document)
    load = document["load"]
    for engine, where in ((load["own"], ""), (load["server"], " on the server")):
        if engine is not None:
            parts += [
                _users_text(one, where, against_base=variant != "base") for one in engine["limits"]
            ]
    return parts


def _speed_parts(
    variant: str, serving: Mapping[str, ServingMetric], document: Measured
) -> list[str]:
    """Return the speed of one user with what bounds it, and its ratios to the base."""
    decode, one = serving["decode_tokens_per_second"], document["single_stream"]
    text = f"{decode['median'][variant]:.1f} tokens/s"
    if interval := one["interval"]:
        text += f" [{interval[0]:.1f}, {interval[1]:.1f}]"
    bounds = []
    share, idle = one["bandwidth_share"], one["gpu_idle_share"]
    # above 1 caches hold the weights, and the memory bounds nothing
    if share and share <= 1:
        bounds.append(f"{share:.0%} of the memory's speed")
    if idle is not None:
        bounds.append(f"GPU idle for {idle:.0%} of a step")
    if bounds:
        text += f" ({', '.join(bounds)})"
    if one["launch_bound"]:
        text += ", launched from Python"
    speed = decode["ratio_to_base"].get(variant)
    first = serving["time_to_first_token_ms"]["ratio_to_base"].get(variant)
    if not speed or not first:
        return [text]
    return [
        text,
        f"speed {ratio_text(speed)} times the base's: {speed['verdict']}",
        f"first token after {ratio_text(first)} times the base's time: {first['verdict']}",
    ]


def _users_text(limit: LimitAnswer, where: str, *, against_base: bool) -> str:
    """Return how many users a pair of limits allows, their speed and the price."""
    bounds = (
        f"{limit['time_to_first_token_ms']:g}/{limit['time_per_output_token_ms']:g} ms"
        f" ({limit['name']})"
    )
    if not limit["users"]:
        return f"not one user within {bounds}{where}"
    count = f"{'at least ' if limit['at_least'] else ''}{limit['users']}"
    noun = "user" if limit["users"] == 1 else "users"
    text = (
        f"{count} {noun} within {bounds}{where} at"
        f" {limit['output_tokens_per_second']:,.0f} tokens/s together"
    )
    ratio = limit["ratio_to_base"]
    if against_base and ratio:
        shown = ratio_text({"ratio": ratio["median"], "interval": ratio["interval"]})
        text += f", {shown} times what a user of the base gets"
    price = limit["usd_per_million_tokens"]
    if price is None:
        return text
    spread = limit["usd_interval"]
    interval = f" [{spread[0]:.2f}, {spread[1]:.2f}]" if spread else ""
    return f"{text}, ${price:.2f}{interval} per million tokens"


def _server_ratio(document: Measured) -> SpeedRatio | None:
    """Return the server's ratio to the base at the highest level that both answered."""
    server = document["load"]["server"]
    levels = server["levels"] if server else []
    ratios = [ratio for level in levels if (ratio := level["ratio_to_base"])]
    if not ratios:
        return None
    last = ratios[-1]
    median, interval = last["median"], last["interval"]
    verdict: SpeedVerdict = "no difference detectable"
    if last["beyond_noise"]:
        verdict = "faster" if median > 1 else "slower"
    return {"ratio": median, "interval": interval, "n": last["n"], "verdict": verdict}


def _headline(
    ratios: Mapping[str, SpeedRatio], band: Sequence[float] | None, *, launch_bound: bool
) -> tuple[str, str]:
    """Return the answer and its sentences from the speed ratios and the noise band."""
    if not ratios and launch_bound:
        return "not known", (
            "The GPU waited for Python's launches, which a server does not pay. Measure a server"
            " (measure_inference.server)."
        )
    parts, costs = [], {}
    for variant, title in (("lora", "Unmerged, the adapter"), ("merged", "Merged, it")):
        ratio = ratios.get(variant)
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
            "too noisy to say",
            f"Other work disturbed the measurement: ratios from {band[0]:.2f} to {band[1]:.2f} are"
            f" noise. {headline}",
        )
    return _answer(costs), f"{headline} {_advice(costs)}".strip()


def _answer(costs: Mapping[str, str | None]) -> str:
    if costs.get("lora") is None:
        return "nothing detectable"
    if "merged" in costs and costs["merged"] is None:
        return "nothing, if merged"
    return f"{costs['lora']} of speed"


def _advice(costs: Mapping[str, str | None]) -> str:
    """Return whether to merge, and why; nothing where the adapter was not measured."""
    if "lora" not in costs:
        return ""
    if costs["lora"] is None:
        return "Keep it apart: that costs nothing seen here, and one base can serve many adapters."
    if "merged" in costs and costs["merged"] is None:
        return "Merge it where it is the only adapter; keep it apart where one base serves many."
    return "Keep it apart only where one base serves many adapters."
