"""The training's operations against the EU AI Act's threshold for who modifies a model.

Commission guidelines C(2025) 7719, points 57 to 63: who modifies a general-purpose model becomes
its provider above one third of the compute that trained the original. A reminder, not legal advice.
"""

import re

# 6 N D of published parameters and training tokens: Llama 3 8B, 8.03e9 and 15e12
ORIGINAL_FLOPS = {re.compile(r"llama[-_ ]?3-8b", re.IGNORECASE): 7.2e23}


def ai_act_text(model: str, operations: float) -> str:
    """Return one sentence on the floating-point operations of a training."""
    known = next((flops for name, flops in ORIGINAL_FLOPS.items() if name.search(model)), None)
    start = f"EU AI Act: this training took {operations:.1e} floating-point operations"
    if known is None:
        return (
            f"{start}; who modifies a model becomes its provider above a third of the original"
            " training's, which is not known here."
        )
    third = known / 3
    return (
        f"{start}, {operations / third:.0e} of the third of the original training's ({third:.1e})"
        " above which who modifies a model becomes its provider."
    )
