"""Check in advance whether a snapshot of the hub can be fetched.

Looks at the cache, the offline switch, the token and the licence of gated models, as the hub's own
client finds them in the environment. The client is imported where a source of the hub is checked,
since many starts of a workflow check none.
"""

from pathlib import Path
from typing import Literal

from lorabench.data.models.checkpoint import check_not_quantised, checkpoint_files
from lorabench.data.sources.source import HubSource
from lorabench.errors import DataError

GATED_OWNERS = ("meta-llama/",)
HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 5


def find_hub_faults(source: HubSource, repo_type: Literal["model", "dataset"]) -> list[str]:
    """Return one line for each reason why the snapshot cannot be fetched, found in seconds.

    Only gated models cost a request, and only with a token: whether its account accepted the
    licence. A hub that cannot be reached is no fault here, since jobs may run on machines with
    another network.
    """
    from huggingface_hub import constants, get_token

    if folder := _cached_folder(source, repo_type):
        if repo_type == "dataset" or _is_whole(folder):
            return []
        if (folder / "config.json").is_file():
            try:
                check_not_quantised(folder)
            except DataError as error:
                return [str(error)]
    if constants.is_offline_mode():
        return [
            f"{source.repo}@{source.revision} is not in the hub's cache"
            f" ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set: unset it, or point the"
            " config at a local copy (kind: path)"
        ]
    if not source.repo.startswith(GATED_OWNERS):
        return []
    token = get_token()
    if not token:
        return [
            f"{source.repo} is gated and HF_TOKEN is not set: accept its licence at"
            f" {HUB}/{source.repo}, make a token at {HUB}/settings/tokens and export HF_TOKEN=…"
        ]
    return _ask_hub(source, token)


def _cached_folder(source: HubSource, repo_type: str) -> Path | None:
    """Return the snapshot's folder in the hub's cache, whole or not."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            source.repo,
            repo_type=repo_type,
            revision=source.revision,
            cache_dir=constants.HF_HUB_CACHE,
            # no file is asked for by name, so that a part of a snapshot is found too
            allow_patterns=[],
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder)


def _is_whole(model: Path) -> bool:
    """Return whether a model in the cache is whole: a download may have been cut off."""
    try:
        return bool(checkpoint_files(model))
    except DataError:
        return False


def _ask_hub(source: HubSource, token: str) -> list[str]:
    """Ask the hub whether this token may read the model's config, without fetching it.

    One HEAD request with a time limit, which also finds out whether the commit exists: the client's
    `auth_check` does neither.
    """
    import httpx2
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    url = hf_hub_url(source.repo, "config.json", revision=source.revision)
    page = f"{HUB}/{source.repo}"
    try:
        get_hf_file_metadata(url, token=token, timeout=TIMEOUT_SECONDS)
    except GatedRepoError:
        return [
            f"{source.repo}: the account of HF_TOKEN has no access; accept the licence at {page}"
            " and wait for the grant"
        ]
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            return [
                f"{source.repo}: the hub refuses HF_TOKEN; make a new one at {HUB}/settings/tokens"
            ]
        if error.response.status_code == 404:
            return [f"{source.repo} has no commit {source.revision}: see {page}/commits/main"]
    except httpx2.HTTPError:
        # the hub cannot be reached from here
        pass
    return []
