"""Which share of a device's peak a training step reaches, and where that is from; no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of the dense peak."""

    share: float
    source: str


MEASURED = "measured with a prototype of this method on one H200, 2026-11-26"
DERIVED = "derived from prototypes of this method on one H200, 2026-11-26"
# All with Llama 3 8B's shapes, rank 64 on seven modules, dropout 0.05 (docs/training.md). NF4 over
# bfloat16 was 0.32 over 0.37 where both were measured, with fused kernels; derived shares follow
# from that ratio.
NF4_RATIO = 0.32 / 0.37
LONG_ROWS = {
    # (compiled, NF4)
    (True, False): Share(share=0.44, source=MEASURED),
    (True, True): Share(share=0.44 * NF4_RATIO, source=DERIVED),
    (False, False): Share(share=0.29 / NF4_RATIO, source=DERIVED),
    (False, True): Share(share=0.29, source=MEASURED),
}
# Rows of 2,048 tokens: 0.12 and 0.19 in two runs with NF4, not compiled. Compiled ones were not
# measured; they are taken to lose a third against long rows.
SHORT_ROWS = {
    (True, False): Share(share=0.44 * 2 / 3, source="assumed: two thirds of long rows"),
    (True, True): Share(share=0.44 * NF4_RATIO * 2 / 3, source="assumed: two thirds of long rows"),
    (False, False): Share(share=0.15 / NF4_RATIO, source=DERIVED),
    (False, True): Share(share=0.15, source=MEASURED),
}
# tokens; shorter rows leave a GPU of the H100's class waiting
LONG = 4096
# GPUs without fast bfloat16: published runs on one GPU reach between 0.35 and 0.57.
FLOAT32_GPU = Share(share=0.4, source="published runs on one GPU, 0.35 to 0.57")
# A CPU's share was measured with the demo: bfloat16 on an EPYC, float32 on a Xeon.
CPU = {
    "bfloat16": Share(share=0.22, source="measured with the demo on an EPYC"),
    "float32": Share(share=0.5, source="measured with the demo on a Xeon"),
}


def share_of_peak(
    *, gpu: bool, bfloat16: bool, use_4bit: bool, compiled: bool, row_tokens: int
) -> Share:
    """Return the share that a training reaches.

    Args:
        bfloat16: in which the layers multiply, else float32.
        row_tokens: of a packed row, or positions of a padded pass.
    """
    if not gpu:
        return CPU["bfloat16" if bfloat16 else "float32"]
    if not bfloat16:
        return FLOAT32_GPU
    return (LONG_ROWS if row_tokens >= LONG else SHORT_ROWS)[compiled, use_4bit]
