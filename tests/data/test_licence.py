"""The licence that a card states is read from its front matter, as the hub's client reads it."""

from pathlib import Path

import pytest

from lorabench.data.sources.licence import read_licence


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# Model\n", "mit"),
        ("---\nlicense: 'apache-2.0'  # of the weights\n---\n", "apache-2.0"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "mit, cc-by-4.0"),
        ("---\nlanguage: en\n---\n```\nlicense: mit\n```\n", None),
        ("# Model\nlicense: mit\n", None),
        ("---\nlicense: [mit\n---\n", None),
        ("---\n- mit\n---\n", None),
    ],
)
def test_only_the_front_matter_counts(card: str, licence: str | None, tmp_path: Path) -> None:
    """Quotes, comments and lists are YAML's; prose and unreadable front matter state nothing."""
    (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path) == licence


def test_no_card_states_nothing(tmp_path: Path) -> None:
    """A folder without a card states no licence."""
    assert read_licence(tmp_path) is None
