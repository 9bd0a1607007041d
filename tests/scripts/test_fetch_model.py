"""fetch_model: each kind of source becomes the same kind of folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fetch_model import fetch_model
from lorabench.errors import DataError
from lorabench.files import sha256_file

COMMIT = "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"
REPOSITORY = "some-team/some-model"
CALL = """
import json, sys
from pathlib import Path
from fetch_model import fetch_model
from lorabench.errors import LorabenchError
try:
    samples, source = Path(sys.argv[1]), Path(sys.argv[2])
    fetch_model(samples=samples, source=source, settings=json.loads(sys.argv[3]))
except LorabenchError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class GatedHub(BaseHTTPRequestHandler):
    """A hub on loopback that lists a model's files and refuses to hand them out."""

    def do_GET(self) -> None:
        """Answer file lists; refuse files as the hub does before the licence is accepted."""
        if "/resolve/" in self.path:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.end_headers()
            return
        files = [{"type": "file", "oid": "0" * 40, "size": 2, "path": "config.json"}]
        names = [{"rfilename": "config.json"}]
        info = {"id": REPOSITORY, "sha": COMMIT, "siblings": names, "tags": []}
        body = json.dumps(files if "/tree/" in self.path else info).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Stay silent."""


@pytest.fixture
def gated_hub() -> Iterator[str]:
    """Return the address of the loopback hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), GatedHub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch_in_process(
    root: Path, tmp_path: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Fetch in a separate process: the hub's client reads its variables at import."""
    settings = json.dumps({"kind": "hub", "repo": REPOSITORY, "revision": COMMIT})
    source = str(tmp_path / "model" / "source.json")
    command = [sys.executable, "-c", CALL, "unused", source, settings]
    own = {"PYTHONPATH": str(root / "workflow" / "scripts"), "HF_HOME": str(tmp_path)}
    variables = os.environ | own | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def make_snapshot(model: Path, home: Path) -> None:
    """Lay a model into the hub's cache as its client would."""
    snapshot = home / "hub" / "models--some-team--some-model" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in model.iterdir():
        (snapshot / file.name).symlink_to(file)
    (snapshot / "README.md").write_text("---\nlicense: llama3\n---\n# Model\n")


def test_built_in_model_is_made_from_its_seed(
    samples: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The built-in source publishes the tiny model with the hash of every file."""
    source = tmp_path / "tiny" / "source.json"
    fetch_model(samples=samples / "oasst_trees.jsonl", source=source, settings={"kind": "built-in"})
    record = json.loads(source.read_text())
    files = [file for file in sorted(tiny_model.iterdir()) if file.name != "source.json"]
    assert record["sha256"] == {file.name: sha256_file(file) for file in files}
    assert (record["kind"], record["licence"]) == ("built-in", "Apache-2.0")


def fetch_path(folder: Path, source: Path) -> None:
    """Fetch a model from a folder of this machine."""
    settings = {"kind": "path", "path": str(folder)}
    fetch_model(samples=Path("unused"), source=source, settings=settings)


def test_local_folder_is_linked(tiny_model: Path, tmp_path: Path) -> None:
    """A path source takes no disk, and its record names the folder."""
    source = tmp_path / "model" / "source.json"
    fetch_path(tiny_model, source)
    assert (source.parent / "model.safetensors").resolve() == tiny_model / "model.safetensors"
    assert json.loads(source.read_text())["origin"] == str(tiny_model)


def test_unusable_folder_publishes_nothing(tmp_path: Path) -> None:
    """A folder that is no checkpoint leaves no folder that looks fetched."""
    with pytest.raises(DataError, match=r"no config\.json"):
        fetch_path(tmp_path, tmp_path / "model" / "source.json")
    assert not list((tmp_path / "model").iterdir())


def test_cached_snapshot_is_used_without_a_network(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """With HF_HUB_OFFLINE the pinned snapshot is linked from the cache."""
    make_snapshot(tiny_model, tmp_path)
    run = fetch_in_process(root, tmp_path, HF_HUB_OFFLINE="1")
    assert run.returncode == 0, run.stderr
    record = json.loads((tmp_path / "model" / "source.json").read_text())
    assert (record["origin"], record["licence"]) == (f"{REPOSITORY}@{COMMIT}", "llama3")
    assert record["sha256"]["model.safetensors"] == sha256_file(tiny_model / "model.safetensors")


def test_missing_snapshot_without_a_network_is_one_line(root: Path, tmp_path: Path) -> None:
    """The message says that the cache has it not and what else can be done."""
    run = fetch_in_process(root, tmp_path, HF_HUB_OFFLINE="1")
    message = run.stderr.strip().splitlines()[-1]
    assert message.startswith(f"PrerequisiteError: {REPOSITORY}@{COMMIT} is not in the local cache")
    assert "kind: path" in message


def test_unaccepted_licence_names_its_page(root: Path, tmp_path: Path, gated_hub: str) -> None:
    """The hub's refusal becomes one line with the page to ask, and no token."""
    at_hub = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": gated_hub, "HF_TOKEN": "hf_secret"}
    run = fetch_in_process(root, tmp_path, **at_hub)
    message = run.stderr.strip().splitlines()[-1]
    assert message.startswith(f"PrerequisiteError: {REPOSITORY} is gated and this HF_TOKEN has no")
    assert f"https://huggingface.co/{REPOSITORY}" in message
    assert "hf_secret" not in run.stderr
