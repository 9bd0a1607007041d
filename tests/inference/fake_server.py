"""An OpenAI-compatible server that streams at planted times, and fails on demand."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeServer:
    """What the server does, and what it saw."""

    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    # requests that are answered at the same time; others wait
    places: int = 1000
    # tokens in a piece of the stream
    tokens_per_piece: int = 1
    sends_usage: bool = True
    knows_ignore_eos: bool = True
    # number of a request (warm-up included) -> "status", "cut" or "error"
    faults: dict[int, str] = field(default_factory=dict)
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.free = threading.Semaphore(self.places)
        self.running = 0


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    fake: FakeServer

    def do_GET(self) -> None:
        """List no model, slowly, so that requests at the same time need several connections."""
        time.sleep(0.05)
        self._whole(200, {"data": []})

    def do_POST(self) -> None:
        """Answer one chat completion."""
        arrived = time.perf_counter()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.fake.lock:
            number = len(self.fake.bodies)
            self.fake.bodies.append(body)
            self.fake.headers.append({key.lower(): value for key, value in self.headers.items()})
        fault = self.fake.faults.get(number)
        if fault == "status":
            return self._whole(503, {"error": {"message": "busy"}})
        if "ignore_eos" in body and not self.fake.knows_ignore_eos:
            return self._whole(400, {"error": {"message": "Unrecognized argument: ignore_eos"}})
        waited = not self.fake.free.acquire(blocking=False)
        if waited:
            self.fake.free.acquire()
        with self.fake.lock:
            self.fake.running += 1
            self.fake.most_at_once = max(self.fake.most_at_once, self.fake.running)
        try:
            self._stream(body["max_tokens"], time.perf_counter() if waited else arrived, fault)
        finally:
            with self.fake.lock:
                self.fake.running -= 1
            self.fake.free.release()
        return None

    def _stream(self, tokens: int, start: float, fault: str | None) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._piece({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        if fault == "error":
            self._piece({"error": {"message": "out of memory"}})
        for token in range(0, tokens, self.fake.tokens_per_piece):
            last = min(token + self.fake.tokens_per_piece, tokens) - 1
            due = start + self.fake.first_token_seconds + last * self.fake.token_seconds
            time.sleep(max(0.0, due - time.perf_counter()))
            self._piece({"choices": [{"delta": {"content": f" word{token}"}}]})
            if fault == "cut":
                self.close_connection = True
                self.wfile.write(b"0\r\n\r\n")
                return
        if self.fake.sends_usage:
            self._piece({"choices": [], "usage": {"completion_tokens": tokens}})
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, event: dict[str, Any]) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "tiny"}
        choices = [{"index": 0, **choice} for choice in event.get("choices", [])]
        self._chunk(f"data: {json.dumps({**head, **event, 'choices': choices})}\n\n".encode())

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _whole(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def serving_apart(**planted: float) -> Iterator[str]:
    """Run a server in a separate process and yield its address."""
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(planted)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def serving(fake: FakeServer) -> Iterator[FakeServer]:
    """Run the server while the block does."""
    handler = type("Bound", (Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    with serving(FakeServer(**json.loads(sys.argv[1]))) as running:
        print(running.url, flush=True)
        threading.Event().wait()
