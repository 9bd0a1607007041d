"""Files, config keys and links that the pages name exist."""

import re
from pathlib import Path

import pytest

from lorabench.control.configuration import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
PAGES = [page for page in PAGES if page.name not in ("CHANGELOG.md", "reruns.md")]
# files of the project are named from one of these folders
SCRIPTS = ROOT / "workflow" / "scripts"
PLACES = [ROOT, *(ROOT / name for name in ("config", "requirements", "docs"))]
PLACES += [SCRIPTS, SCRIPTS / "lorabench"]
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|smk|yaml|toml|md|sh|css|j2|txt)")
# made by a run, by conda, by users, or the example of a guide
NOT_OURS = re.compile(
    r"(results|resources|logs|artifacts|reports)/|capitals|README\.md|gate\.md|report\.md|my\.yaml"
    r"|sweep\.yaml|adapter_config|NOTICE|generation_config|modeling_"
)
CONFIG = load([ROOT / "config" / "config.yaml"])


def names_of(page: Path) -> list[str]:
    """Return what a page names as code, its fenced blocks left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Each is a path from the root, from the scripts or from the package."""
    files = {name for name in names_of(page) if FILE.fullmatch(name) and not NOT_OURS.search(name)}
    assert [name for name in files if not any((place / name).exists() for place in PLACES)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_that_a_page_names_are_in_the_config(page: Path) -> None:
    """section.key, with one more level where a section has one."""
    for name in names_of(page):
        parts = name.partition(":")[0].split(".")
        if parts[0] not in CONFIG or FILE.fullmatch(name) or "capitals" in name:
            continue
        here = CONFIG
        for part in parts:
            assert isinstance(here, dict) and part in here, name
            here = here[part]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Relative links name files, and their anchors a heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text().lower(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", text).replace(" ", "-") for text in headings}
            assert anchor in slugs, target
