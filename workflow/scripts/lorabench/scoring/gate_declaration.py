"""The history of declared margins: what was declared, when, and which results were known then.

A result counts as known when a file with the same content existed at the declaration, so that a
full rerun after a change of margins is new evidence and a copied or touched file is not.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorabench.documents.gate import DeclarationState, Declared
from lorabench.files import sha256_file

# item rows of every variant and benchmark: a new statistic does not change them
RESULTS = "eval/*/*.jsonl"


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the settings as sorted JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def existing_results(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of the item rows below a run's folder; empty files hold no result."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.glob(RESULTS))
        if path.stat().st_size
    }


def declare(
    history: Sequence[Declared],
    settings: Mapping[str, Any],
    declared_at: str,
    results: Mapping[str, str],
) -> list[Declared]:
    """Return the history with these settings in force: unchanged where they already are.

    Args:
        history: earlier declarations, the one in force last.
        settings: the config section.
        declared_at: now, UTC, ISO 8601.
        results: what `existing_results` finds.
    """
    sha256 = settings_hash(settings)
    if history and history[-1].sha256 == sha256:
        return list(history)
    entry = Declared(
        sha256=sha256,
        declared_at=declared_at,
        known_results=dict(results),
        settings=dict(settings),
    )
    return [*history, entry]


def declaration_state(history: Sequence[Declared], results: Mapping[str, str]) -> DeclarationState:
    """Return what the history says of the margins in force, its last entry, and the results in use.

    Margins that go back to what was declared before any of these results existed count from then.
    """
    current = history[-1]
    first = min(
        (entry for entry in history if entry.sha256 == current.sha256),
        key=lambda entry: len(_known(entry, results)),
    )
    return DeclarationState(
        sha256=current.sha256,
        declared_at=first.declared_at,
        declarations=len(history),
        known_results=tuple(_known(first, results)),
    )


def _known(entry: Declared, results: Mapping[str, str]) -> list[str]:
    return [path for path, sha in results.items() if entry.known_results.get(path) == sha]
