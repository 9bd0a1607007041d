"""The check before a run: one line for each fault of a source, without heavy imports."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants

from lorabench.control.check_source import check_source

COMMIT = "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"
GATED = {"kind": "hub", "repo": "meta-llama/Meta-Llama-3-8B-Instruct", "revision": COMMIT}
OPEN = {"kind": "hub", "repo": "openai/gsm8k", "revision": COMMIT}


class Hub(BaseHTTPRequestHandler):
    """A hub on loopback that answers with the status and error code in the token."""

    def do_HEAD(self) -> None:
        """Answer "Bearer 403-GatedRepo" with 403 and that error code."""
        status, _, reason = self.headers["Authorization"].removeprefix("Bearer ").partition("-")
        self.send_response(int(status))
        self.send_header("X-Error-Code", reason)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """Return the address of the loopback hub."""
    server = HTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the hub's client an empty cache, no token and a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def at_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let the hub's client ask the hub at `address`."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_gated_model_without_token_says_where_to_get_both() -> None:
    """The line names the licence page and the variable; an open repository needs no token."""
    [fault] = check_source("model", GATED)
    assert "HF_TOKEN is not set" in fault
    assert "https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct" in fault
    assert check_source("gsm8k", OPEN) == []


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("200-", None),
        ("307-", None),
        ("503-", None),
        ("403-GatedRepo", "accept the licence at https://huggingface.co/meta-llama/"),
        ("401-", "the hub refuses HF_TOKEN"),
        ("404-RevisionNotFound", f"has no commit {COMMIT}"),
    ],
)
def test_hub_is_asked_whether_the_licence_is_accepted(
    hub: str, monkeypatch: pytest.MonkeyPatch, token: str, expected: str | None
) -> None:
    """Refusals become faults; redirects and the hub's own trouble do not."""
    at_hub(monkeypatch, hub)
    monkeypatch.setenv("HF_TOKEN", token)
    faults = check_source("model", GATED)
    assert faults == [] if expected is None else expected in faults[0]


def test_unreachable_hub_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs may run where the network is; the check gives no false alarm."""
    at_hub(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "x")
    assert check_source("model", GATED) == []


def test_a_token_of_the_clients_login_counts(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hf auth login` leaves the token in a file, which the fetch would use too."""
    at_hub(monkeypatch, hub)
    (tmp_path / "token").write_text("200-")
    assert check_source("model", GATED) == []


def test_offline_switch_needs_a_whole_cached_snapshot(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cached needs no network and no token; a cut-off download counts as missing."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    [fault] = check_source("model", GATED)
    assert "not in the hub's cache" in fault
    model = tmp_path / "hub" / "models--meta-llama--Meta-Llama-3-8B-Instruct"
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(tiny_model / "config.json")
    assert "not in the hub's cache" in check_source("model", GATED)[0]
    shutil.rmtree(snapshot)
    snapshot.symlink_to(tiny_model)
    assert check_source("model", GATED) == []


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("gsm8k", {"kind": "path", "path": "/not/there"}, "path '/not/there' does not exist"),
        ("model", OPEN | {"revision": "main"}, "revision: expected a commit"),
        ("mmlu", {"kind": "wheel", "package": "p", "version": "1"}, "sha256: Field required"),
        ("mt_bench", {"kind": "ftp"}, "source kind 'ftp' is not one of"),
    ],
)
def test_wrong_source_is_one_line(kind: str, source: dict[str, Any], expected: str) -> None:
    """Missing paths, branches and missing keys are found without fetching anything."""
    [fault] = check_source(kind, source)
    assert expected in fault
    assert "\n" not in fault


def test_wrong_row_is_found_before_the_run(tmp_path: Path) -> None:
    """Data files are read through: the fault names file, line and field."""
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "x"}]}\n{"messages": [{"role": "user"}]}\n'
    )
    [fault] = check_source("conversations", {"kind": "path", "path": str(path)})
    assert fault == f"{path}:2: messages[0]: field 'content' is missing; found role"


def test_missing_judge_prompt_is_found_before_the_run(tmp_path: Path) -> None:
    """AlpacaEval data at a path needs a judge's prompt, there or from another source."""
    data = tmp_path / "outputs.json"
    data.write_text(json.dumps([{"dataset": "d", "instruction": "i"}]))
    source: dict[str, Any] = {"kind": "path", "path": str(data)}
    assert "no judge_prompt.txt" in check_source("alpaca_eval", source)[0]
    prompt = tmp_path / "elsewhere.txt"
    prompt.write_text("{instruction} {output_1}")
    elsewhere = source | {"judge_prompt": {"kind": "path", "path": str(prompt)}}
    assert "no {output_2}" in check_source("alpaca_eval", elsewhere)[0]
    prompt.write_text("{instruction} {output_1} {output_2}")
    assert check_source("alpaca_eval", elsewhere) == []


def test_large_file_is_only_begun(tmp_path: Path) -> None:
    """Of a file of many megabytes only the first rows are read: the broken last one is not seen."""
    row = json.dumps({"messages": [{"role": "user", "content": "x" * 10_000}]}) + "\n"
    path = tmp_path / "large.jsonl"
    path.write_text(row * 4000 + "broken\n")
    assert check_source("conversations", {"kind": "path", "path": str(path)}) == []


def test_check_imports_nothing_heavy(root: Path) -> None:
    """Every start of the workflow imports the check, also one that has nothing to do."""
    code = "import sys, lorabench.control.check_source; print(sorted(sys.modules))"
    environment = {"PYTHONPATH": str(root / "workflow" / "scripts")}
    listing = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    heavy = ["numpy", "pyarrow", "torch", "transformers", "huggingface_hub", "tokenizers", "gguf"]
    assert [name for name in heavy if f"'{name}'" in listing.stdout] == []
