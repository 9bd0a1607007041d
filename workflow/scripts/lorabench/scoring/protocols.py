"""Join the protocol files of a benchmark's shards, and say whether its judge means anything."""

from collections.abc import Sequence
from typing import Any

from lorabench.errors import DataError


def join_protocols(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return `protocol` (one sentence), `protocol_detail` and `carries_signal` of a score file.

    Keys on which all shards agree stand in the detail as they are; the rest (counts, times) as one
    value a shard.

    Raises:
        DataError: no document, one without the sentence `protocol`, or shards made by different
            protocols.
    """
    sentences = sorted({str(document.get("protocol", "")) for document in documents})
    if len(sentences) != 1 or not sentences[0]:
        raise DataError(
            "protocol files of one benchmark: expected one sentence under 'protocol', found"
            f" {sentences}"
        )
    keys = sorted(
        {key for document in documents for key in document} - {"protocol", "schema_version"}
    )
    detail = {key: _joined([document.get(key) for document in documents]) for key in keys}
    return {
        "protocol": sentences[0],
        "protocol_detail": detail,
        "carries_signal": carries_signal(detail),
    }


def add_generation(protocol: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Return a judged score's protocol with that of its answers: the sentence before, the rest
    under `answers`."""
    detail = {
        key: value for key, value in answers.items() if key not in ("protocol", "schema_version")
    }
    return {
        **protocol,
        "protocol": f"{answers['protocol']}; {protocol['protocol']}",
        "protocol_detail": {**protocol["protocol_detail"], "answers": detail},
    }


def carries_signal(detail: dict[str, Any]) -> bool:
    """Return False for a judge whose protocol says so: the local scoring judge does not rank
    answers by quality."""
    return bool(detail.get("signal", True))


def _joined(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else values
