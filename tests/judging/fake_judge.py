"""A judge server that speaks both HTTP interfaces and misbehaves on demand."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lorabench.documents.answer import Answer
from lorabench.files import write_jsonl
from lorabench.judging.clients import JudgeClient, Patience
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings
from sections import section

QUESTION = [{"role": "system", "content": "Be strict."}, {"role": "user", "content": "Rate this."}]
QUICK = Patience(first_backoff_seconds=0.01)


@dataclass
class Response:
    """What the server does with one request."""

    status: int = 200
    document: Any = None  # JSON body; bytes are sent unchanged
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut: bool = False  # close the connection in the middle of the body


def openai_answer(
    text: str = "Rating: [[7]]",
    model: str = "judge-2026-01-01",
    tokens: tuple[int, int] = (100, 10),
    delay_seconds: float = 0.0,
    **changes: Any,
) -> Response:
    """Return a chat completion; `changes` are keys of its one choice."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message} | changes
    usage = dict(zip(("prompt_tokens", "completion_tokens"), tokens, strict=True))
    document = {"id": "c", "model": model, "choices": [choice], "usage": usage}
    return Response(document=document, delay_seconds=delay_seconds)


def anthropic_answer(text: str = "Rating: [[7]]", stop_reason: str = "end_turn") -> Response:
    """Return a message of 100 input and 10 output tokens."""
    content = [{"type": "thinking", "thinking": "[[1]]"}, {"type": "text", "text": text}]
    usage = {"input_tokens": 100, "output_tokens": 10}
    document = {"type": "message", "model": "claude-judge-20260101", "content": content}
    return Response(document=document | {"stop_reason": stop_reason, "usage": usage})


def error(status: int, message: str, **fields: Any) -> Response:
    """Return an error in the shape that both interfaces share."""
    return Response(status=status, document={"error": {"message": message, **fields}})


def bill(response: Response) -> list[tuple[int, int]]:
    """Return the tokens that a response says were used, nothing where it says nothing."""
    usage = response.document.get("usage") if isinstance(response.document, dict) else None
    if response.status != 200 or response.cut or not isinstance(usage, dict):
        return []
    names = ("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")
    return [(usage[read], usage[made]) for read, made in names if {read, made} <= set(usage)]


@dataclass
class FakeJudge:
    """The running server: what it saw, and what it answers (set `respond`)."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)  # bodies
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0
    # (input, output) tokens of each answer with usage, sent whole: what a provider puts on its bill
    billed: list[tuple[int, int]] = field(default_factory=list)
    respond: Callable[[int, dict[str, Any]], Response] = lambda number, body: openai_answer()


@contextmanager
def running_judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJudge]:
    """Run the server on a free port, with keys for both interfaces set."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-openai")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-anthropic")
    fake = FakeJudge()
    lock = threading.Lock()
    active = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal active
            raw = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(raw)
            with lock:
                number = len(fake.requests)
                fake.requests.append(body)
                fake.headers.append({name.lower(): value for name, value in self.headers.items()})
                fake.paths.append(self.path)
                fake.times.append(time.monotonic())
                active += 1
                fake.most_at_once = max(fake.most_at_once, active)
            try:
                response = fake.respond(number, body)
                with lock:
                    fake.billed += bill(response)
                self.send(response)
            finally:
                with lock:
                    active -= 1

        def send(self, response: Response) -> None:
            time.sleep(response.delay_seconds)
            document = response.document
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if response.cut else content)
            if response.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test output quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def judge_section(fake: FakeJudge, **changes: Any) -> dict[str, Any]:
    """Return the `judge` key of a judging section that points at the server."""
    small = {"model": "judge", "base_url": fake.url, "concurrency": 4, "timeout_seconds": 5}
    return section("judge", **(small | {"dtype": "float32"} | changes))


def judge_settings(fake: FakeJudge, **changes: Any) -> JudgeSettings:
    """Return the same, parsed."""
    return JudgeSettings(**judge_section(fake, **changes))


def answer_row(index: int, **changes: Any) -> dict[str, Any]:
    """Return an Answer row of a two-turn question."""
    return {
        "index": index,
        "id": str(81 + index),
        "category": "writing",
        "prompts": [f"Write about {index}.", "Now shorter."],
        "outputs": [f"A text about {index}.", f"{index}."],
        "output_tokens": [6, 2],
        "truncated": [False, False],
        "temperature": 0.7,
    } | changes


def instruction_answer(index: int, output: str = "mine") -> Answer:
    """Return an answer to one instruction."""
    prompts, once = [f"Say {index}."], {"output_tokens": [1], "truncated": [False]}
    row = answer_row(index, id=f"alpaca-{index}", prompts=prompts, outputs=[output], **once)
    return Answer(**row)


def write_benchmark(folder: Path) -> Path:
    """Write judge prompts of both benchmarks, one reference and 40 instructions."""
    folder.mkdir()
    one = "Judge this.\n\n[Question]\n{question}\n\n%s[Answer]\n{answer}\n[End]"
    two = (
        "%s### User:\n{question_1}\n### A:\n{answer_1}\n### User:\n{question_2}\n### A:\n{answer_2}"
    )
    both = two % "{ref_answer_1}\n{ref_answer_2}\n"
    prompts = {
        "single-v1": ("You are a judge.", one % ""),
        "single-math-v1": ("You are a judge.", one % "[Reference]\n{ref_answer_1}\n\n"),
        "single-v1-multi-turn": ("Judge the second answer.", two % ""),
        "single-math-v1-multi-turn": ("Judge with references.", both),
    }
    rows = [
        {"name": name, "type": "single", "system_prompt": system, "prompt_template": template}
        for name, (system, template) in prompts.items()
    ]
    write_jsonl(folder / "judge_prompts.jsonl", rows)
    write_jsonl(folder / "reference.jsonl", [{"question_id": 101, "turns": ["four", "eight"]}])
    chat = "Instruction: {instruction}\n\nm: {output_1}\n\nM: {output_2}\n\nThe better one, m or M:"
    (folder / "judge_prompt.txt").write_text(
        "<|im_start|>system\nYou compare"
        f" answers.\n<|im_end|>\n<|im_start|>user\n{chat}\n<|im_end|>\n"
    )
    instructions = [
        {"id": f"alpaca-{n}", "instruction": f"Say {n}.", "reference_output": f"It is {n}."}
        for n in range(40)
    ]
    write_jsonl(folder / "instructions.jsonl", instructions)
    return folder


def sent(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request without its messages."""
    return {name: value for name, value in body.items() if name != "messages"}


def ask_client(
    fake: FakeJudge, parameters: dict[str, Any] | None = None, count: int = 1, **changes: Any
) -> list[Reply]:
    """Return the replies to equal requests through one client."""
    values = {"temperature": 0.0, "max_tokens": 64} if parameters is None else parameters
    request = JudgeRequest(item="81-1", messages=QUESTION, parameters=values)

    async def run() -> list[Reply]:
        async with JudgeClient(judge_settings(fake, **changes), QUICK) as client:
            return [await client.complete(request) for _ in range(count)]

    return asyncio.run(run())
