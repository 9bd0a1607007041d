"""The config sections of scoring and comparison."""

from pydantic import Field

from lorabench.section import Section, Seed, Share


class ComparisonSettings(Section):
    """Paired comparison of variants."""

    resamples: int = Field(ge=100)
    """Bootstrap resamples."""
    seed: Seed
    """Of the bootstrap."""
    equivalence_margin_share: Share
    """Merged equals lora where the interval of their difference lies within this share; 0.01 = one
    percentage point."""
    equivalence_margin_rating: float = Field(gt=0)
    """The same on MT-Bench's scale from 1 to 10."""
