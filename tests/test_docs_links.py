"""Every link of the manual leads somewhere: to a file that is there, and to a heading that it has."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))

LINK = re.compile(r"\[[^\[\]]*\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", re.DOTALL)
FENCED = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", flags=re.DOTALL)


def prose(page: Path) -> str:
    """The page without its examples, in which nothing is a link or a heading."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    """Where it points to, addresses of the web aside."""
    for target in LINK.findall(CODE.sub("code", prose(page))):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Its headings as GitHub names them: lower case, no punctuation, hyphens for spaces, numbers if twice."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", prose(page), flags=re.MULTILINE):
        shown = re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def fault(page: Path, link: str) -> str:
    """What is wrong with it, "" if nothing is."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT):
        return f"{link}: outside the project"
    if not target.exists():
        return f"{link}: there is no such file"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target)):
        return f"{link}: there is no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    assert [found for link in links(page) if (found := fault(page, link))] == []


def test_every_page_of_the_manual_can_be_reached_from_the_readme() -> None:
    reached, to_read = set(), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            to_read += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert [page.relative_to(ROOT).as_posix() for page in PAGES if page not in reached] == []


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("docs/nowhere.md", "no such file"),
        ("docs/store.md#nowhere", "no such heading"),
        ("#nowhere", "no such heading"),
        ("sites.yaml#store", "no such heading"),
        ("../elsewhere.md", "outside"),
    ],
)
def test_what_leads_nowhere_is_found(link: str, said: str) -> None:
    assert said in fault(ROOT / "README.md", link)
