"""The load client against a server whose latencies are planted."""

import statistics
from collections.abc import Mapping
from typing import Any

import pytest

from inference.fake_server import FakeServer, serving, serving_apart
from lorabench.errors import MeasurementError
from lorabench.inference.load_levels import LoadSession, measure_servers
from lorabench.inference.server_client import Reply, ServerClient
from lorabench.inference.settings import (
    InferenceSettings,
    LoadSettings,
    PerformancePrompt,
    Server,
    ServerSettings,
)
from lorabench.scoring.load_summary import summarise_load
from lorabench.scoring.serving_cost import users_and_cost

PROMPTS = [
    PerformancePrompt(id=f"prompt-{number}", category="x", text=f"Question {number}?")
    for number in range(3)
]
# large against the noise of a busy machine
FIRST_MS, TOKEN_MS = 1000.0, 60.0
PLANTED: dict[str, Any] = {"first_token_seconds": FIRST_MS / 1000, "token_seconds": TOKEN_MS / 1000}
WITHIN = 0.02
# of rates and ratios, which hold the waits between requests as well
NEAR = 0.05
# the first one is above two turns of waiting for a place, the second below one
LIMITS = [
    {"name": "conversational", "time_to_first_token_ms": 9000, "time_per_output_token_ms": 200},
    {"name": "interactive", "time_to_first_token_ms": 1200, "time_per_output_token_ms": 80},
]


def client_of(url: str) -> ServerClient:
    """Return a client of the server at this address."""
    return ServerClient(Server(base_url=url, model="tiny"), timeout_seconds=30)


def load(client: ServerClient, users: int = 1, requests: int = 4, tokens: int = 3) -> list[Reply]:
    """Put a level of load on the server."""
    return client.load(PROMPTS, concurrency=users, requests=requests, new_tokens=tokens)


def settings_of(
    servers: Mapping[str, str], concurrency: list[int], **load_settings: int
) -> InferenceSettings:
    """Return settings that measure these servers."""
    return InferenceSettings(
        variants=["base", "lora", "merged"],
        dtype="float32",
        prompts=3,
        new_tokens=2,
        repeats=1,
        warmup=0,
        load=LoadSettings(concurrency=concurrency, **load_settings),
        server=ServerSettings(
            **{
                name: Server(base_url=servers[name], model=name) if name in servers else None
                for name in ("base", "lora", "merged")
            },
            timeout_seconds=30,
        ),
    )


@pytest.mark.slow
def test_planted_latencies_come_back() -> None:
    """First token, time per token and end to end are the server's, to two percent."""
    with serving_apart(**PLANTED) as url:
        replies = load(client_of(url), users=4, requests=8, tokens=21)
    assert [reply.number for reply in replies] == list(range(8))
    first = statistics.median(reply.time_to_first_token_ms or 0 for reply in replies)
    gaps = [
        ((reply.end_to_end_ms or 0) - (reply.time_to_first_token_ms or 0)) / 20 for reply in replies
    ]
    assert first == pytest.approx(FIRST_MS, rel=WITHIN)
    assert statistics.median(gaps) == pytest.approx(TOKEN_MS, rel=WITHIN)
    ends = statistics.median(reply.end_to_end_ms or 0 for reply in replies)
    assert ends == pytest.approx(FIRST_MS + 20 * TOKEN_MS, rel=WITHIN)


@pytest.mark.slow
def test_known_slowdown_and_throughput_limit_show() -> None:
    """A planted slowdown is in its interval; waiting breaks the first token's limit."""
    slow = {name: 1.5 * seconds for name, seconds in PLANTED.items()}
    with serving_apart(**PLANTED, places=2) as base, serving_apart(**slow, places=2) as lora:
        settings = settings_of(
            {"base": base, "lora": lora}, [1, 2, 4], requests_per_user=2, new_tokens=11, repeats=1
        )
        session = LoadSession(settings.load, PROMPTS)
        served = measure_servers(session, settings, PROMPTS)
    assert set(served) == {"base", "lora"} and served["lora"]["lengths_fixed"]
    levels: Any = summarise_load(session.rows, "server", "lora", "base_again", LIMITS)
    for level in levels[:2]:
        ratio = level["ratio_to_base"]
        assert ratio["median"] == pytest.approx(1 / 1.5, rel=NEAR)
        # the interval is as narrow as the planted times are regular
        assert ratio["interval"][0] * (1 - NEAR) <= 1 / 1.5
        assert ratio["interval"][1] * (1 + NEAR) >= 1 / 1.5
        assert ratio["beyond_noise"]
    of_base: Any = summarise_load(session.rows, "server", "base", "base_again", LIMITS)
    one, two, four = (level["output_tokens_per_second"] for level in of_base)
    seconds = (FIRST_MS + 10 * TOKEN_MS) / 1000
    assert one == pytest.approx(11 / seconds, rel=NEAR)
    assert two == pytest.approx(2 * one, rel=NEAR)
    assert four == pytest.approx(two, rel=2 * NEAR)
    conversational, interactive = users_and_cost(of_base, LIMITS, None)
    assert (conversational["users"], conversational["at_least"]) == (4, True)
    assert (interactive["users"], interactive["at_least"]) == (2, False)
    assert not of_base[0]["ratio_to_base"]["beyond_noise"]


def test_failed_requests_are_counted_not_timed() -> None:
    """Each failure keeps its reason; the other requests are answered."""
    with serving(FakeServer(faults={1: "status", 2: "cut", 3: "error"})) as fake:
        replies = load(client_of(fake.url), requests=5)
    reasons = [reply.reason for reply in replies]
    assert reasons[0] is not None and reasons[0].startswith("HTTP 503: ")
    assert reasons[1] == "the stream ended without an answer or its end mark"
    assert reasons[2] is not None and "out of memory" in reasons[2]
    assert reasons[3:] == [None, None]
    assert all(reply.end_to_end_ms is None for reply in replies[:3])


def test_tokens_are_the_server_s_count_where_it_gives_one() -> None:
    """Without the server's count its pieces count."""
    with serving(FakeServer(tokens_per_piece=4)) as fake:
        counted = load(client_of(fake.url), tokens=8)[0]
    with serving(FakeServer(sends_usage=False)) as fake:
        pieces = load(client_of(fake.url), tokens=8)[0]
    assert (counted.output_tokens, counted.tokens_from) == (8, "usage")
    assert (pieces.output_tokens, pieces.tokens_from) == (8, "stream")


def test_a_server_without_fixed_lengths_is_asked_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused parameter is left out from then on; the key is in the header only."""
    monkeypatch.setenv("INFERENCE_API_KEY", "secret-key")
    with serving(FakeServer(knows_ignore_eos=False)) as fake:
        client = client_of(fake.url)
        replies = load(client)
    assert [reply.reason for reply in replies] == [None] * 4
    assert not client.lengths_fixed
    assert ["ignore_eos" in body for body in fake.bodies] == [True] + 5 * [False]
    assert fake.headers[-1]["authorization"] == "Bearer secret-key"
    assert "secret-key" not in repr(replies)


def test_a_server_that_never_answers_ends_the_run() -> None:
    """One line names address, model and what the server said."""
    with serving(FakeServer(faults={0: "status"})) as fake:
        client = client_of(fake.url)
        with pytest.raises(MeasurementError, match=r"model 'tiny': HTTP 503: .*busy"):
            load(client)
    with pytest.raises(MeasurementError, match="ConnectError"):
        load(client)


def test_a_level_that_only_fails_ends_the_sweep() -> None:
    """Higher levels are not tried, the reason is kept."""
    with serving(FakeServer(faults=dict.fromkeys(range(1, 40), "status"))) as fake:
        settings = settings_of(
            {"merged": fake.url}, [1, 2, 4], requests_per_user=2, new_tokens=2, repeats=1
        )
        session = LoadSession(settings.load, PROMPTS)
        measure_servers(session, settings, PROMPTS)
    assert [row.concurrency for row in session.rows] == [1, 1]
    assert session.skipped[0]["reason"].startswith("HTTP 503")
    levels = summarise_load(session.rows, "server", "merged", "base_again", LIMITS)
    assert (levels[0]["requests"], levels[0]["failed"]) == (2, 2)
    answer: Any = users_and_cost(levels, LIMITS, 2.0)[0]
    assert (answer["users"], answer["usd_per_million_tokens"]) == (0, None)
