"""Check in advance whether a snapshot of the hub can be fetched.

Looks at the cache, the offline switch, the token and the licence of gated models.

Reads the environment variables of the hub's own client without importing it: this runs before each
start of a workflow.
"""

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lorabench.data.models.checkpoint import check_not_quantised, checkpoint_files
from lorabench.data.sources.source import HubSource
from lorabench.errors import DataError

GATED_OWNERS = ("meta-llama/",)
HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 5


def find_hub_faults(
    source: HubSource, repo_type: Literal["model", "dataset"], environment: Mapping[str, str]
) -> list[str]:
    """Return one line for each reason why the snapshot cannot be fetched, as far as that can be
    told in seconds.

    Only gated models cost a request, and only with a token: whether its account accepted the
    licence. A hub that cannot be reached is no fault here, since jobs may run on machines with
    another network.
    """
    if _is_cached(source, repo_type, environment):
        return []
    if (snapshot := _snapshot(source, repo_type, environment) / "config.json").is_file():
        try:
            check_not_quantised(snapshot.parent)
        except DataError as error:
            return [str(error)]
    if environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return [
            f"{source.repo}@{source.revision} is not in the hub's cache"
            f" ({cache_folder(environment)}) and HF_HUB_OFFLINE is set: unset it, or point the"
            " config at a local copy (kind: path)"
        ]
    if not source.repo.startswith(GATED_OWNERS):
        return []
    token = environment.get("HF_TOKEN")
    if not token:
        return [
            f"{source.repo} is gated and HF_TOKEN is not set: accept its licence at"
            f" {HUB}/{source.repo}, make a token at {HUB}/settings/tokens and export HF_TOKEN=…"
        ]
    return _ask_hub(source, token, environment)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the hub's cache, chosen as the hub's client chooses it."""
    if environment.get("HF_HUB_CACHE"):
        return Path(environment["HF_HUB_CACHE"])
    user_cache = Path(
        environment.get("XDG_CACHE_HOME")
        or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    )
    return Path(environment.get("HF_HOME") or user_cache / "huggingface") / "hub"


def _snapshot(source: HubSource, repo_type: str, environment: Mapping[str, str]) -> Path:
    """Return where the cache keeps the snapshot."""
    name = f"{repo_type}s--{source.repo.replace('/', '--')}"
    return cache_folder(environment) / name / "snapshots" / source.revision


def _is_cached(source: HubSource, repo_type: str, environment: Mapping[str, str]) -> bool:
    """Return whether the snapshot is in the cache; a model must be whole, since a download may have
    been cut off."""
    snapshot = _snapshot(source, repo_type, environment)
    if repo_type == "dataset":
        return snapshot.is_dir()
    try:
        return bool(checkpoint_files(snapshot))
    except DataError:
        return False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Do not follow redirects: the token is for the hub only.

    A redirect already means that access is granted.
    """

    def redirect_request(self, *arguments: object, **options: object) -> None:
        """Return no further request."""


def _ask_hub(source: HubSource, token: str, environment: Mapping[str, str]) -> list[str]:
    """Ask the hub whether this token may read the model's config; the file itself is not
    fetched."""
    endpoint = environment.get("HF_ENDPOINT") or HUB
    request = urllib.request.Request(
        f"{endpoint}/{source.repo}/resolve/{source.revision}/config.json",
        method="HEAD",
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
            return []
    except urllib.error.HTTPError as error:
        return _read_refusal(source, error.code, error.headers.get("X-Error-Code", ""))
    except OSError:
        return []


def _read_refusal(source: HubSource, status: int, reason: str) -> list[str]:
    """Return the fault behind an HTTP status of the hub.

    A redirect is not a fault, and neither is an error of the hub itself.
    """
    page = f"{HUB}/{source.repo}"
    if reason == "GatedRepo":
        return [
            f"{source.repo}: the account of HF_TOKEN has no access; accept the licence at {page}"
            " and wait for the grant"
        ]
    if status in (401, 403):
        return [
            f"{source.repo}: the hub refuses HF_TOKEN; make a new one at"
            " https://huggingface.co/settings/tokens"
        ]
    if status == 404:
        return [f"{source.repo} has no commit {source.revision}: see {page}/commits/main"]
    return []
