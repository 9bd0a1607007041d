"""Fetch a snapshot of a Hugging Face hub repository at a commit."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lorabench.data.sources.source import HubSource
from lorabench.errors import ConfigurationError, PrerequisiteError

logger = logging.getLogger(__name__)


def fetch_snapshot(
    source: HubSource,
    *,
    repo_type: Literal["model", "dataset"],
    patterns: Sequence[str],
    ignore: Sequence[str] = (),
) -> Path:
    """Return the folder of the snapshot in the hub's cache.

    HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxies are read from the environment by the hub's own
    client.

    Raises:
        PrerequisiteError: the licence is not accepted, the token is missing, or the hub cannot be
            reached.
        ConfigurationError: no such repository or commit.
    """
    page = f"https://huggingface.co/{'datasets/' if repo_type == 'dataset' else ''}{source.repo}"
    try:
        folder = snapshot_download(
            source.repo,
            repo_type=repo_type,
            revision=source.revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignore),
        )
    except GatedRepoError:
        token = "this HF_TOKEN has no access" if get_token() else "HF_TOKEN is not set"
        raise PrerequisiteError(
            f"{source.repo} is gated and {token}: accept its licence at {page}, "
            "then set HF_TOKEN to a token of that account"
        ) from None
    except RevisionNotFoundError:
        raise ConfigurationError(
            f"{source.repo} has no commit {source.revision}: see {page}/commits/main"
        ) from None
    except RepositoryNotFoundError:
        raise ConfigurationError(
            f"{source.repo} does not exist on the hub, or is private and HF_TOKEN has no access:"
            f" see {page}"
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise PrerequisiteError(
            f"{source.repo}@{source.revision} is not in the local cache and the hub cannot be"
            f" reached ({type(error).__name__}): fetch it on a machine with a network, or point the"
            " config at a copy (kind: path)"
        ) from error
    logger.info("%s@%s is at %s", source.repo, source.revision, folder)
    return Path(folder)
