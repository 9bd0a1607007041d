"""How merged and unmerged weights agree: results/{run}/merged/merge_report.json."""

from typing import Literal

from typing_extensions import TypedDict

from lorabench.documents.limits import NotNegative, Positive, Sha256, Share


class LogitAgreement(TypedDict):
    """How far the logits of two models lie apart on the same prompts."""

    max_abs_logit_difference: NotNegative
    mean_abs_logit_difference: NotNegative
    greedy_agreement: Share
    """Share of positions with the same likeliest token."""
    positions: Positive


class WeightAgreement(TypedDict):
    """How merged weights in float32 compare with what the files say they should be."""

    tensors: Positive
    """Tensors of the merged model that were compared."""
    adapted: Positive
    """Those which the adapter changes."""
    max_abs_update: NotNegative
    """Largest change of a single weight that the adapter makes."""
    max_abs_difference: NotNegative
    """Largest distance of a single weight from what it should be."""
    difference_to_update: NotNegative
    """Of a tensor: norm of the distance over the norm of the update, the largest."""


class MergeCheck(TypedDict):
    """How far merged and unmerged logits are apart."""

    dtype: str
    """As the checkpoint was saved."""
    prompts: Positive
    max_logit_difference: float
    """The limit on logits in float32."""
    float32: LogitAgreement
    """Merged against base + adapter in float32, where only rounding may differ."""
    as_saved: LogitAgreement
    """The same as the checkpoint was saved."""


class MergeReport(MergeCheck):
    """The content of merge_report.json."""

    schema_version: Literal[1]
    sha256: dict[str, Sha256]
    """File of the merged checkpoint -> SHA-256; the others likewise."""
    adapter: dict[str, Sha256]
    base: dict[str, Sha256]
    weights: WeightAgreement
    adapter_effect: LogitAgreement
    """Base against base + adapter."""
    as_saved_against_float32: LogitAgreement
    """The saved checkpoint against base + adapter in float32."""
