"""In which order the arms of a measurement run: all variants and the A/A control."""

from collections.abc import Sequence

# the base a second time
CONTROL = "base_again"


def arms_of(variants: Sequence[str]) -> list[str]:
    """Return the variants, and the control where the base is one of them."""
    return [*variants, *([CONTROL] if "base" in variants else [])]


def turns(arms: Sequence[str], number: int) -> list[str]:
    """Return the order of turn `number`, which rotates and reverses.

    Over 2 * len(arms) turns each arm is equally often in each place, and before and after each
    other arm.
    """
    shift = number // 2 % len(arms)
    order = [*arms[shift:], *arms[:shift]]
    return order[::-1] if number % 2 else order
