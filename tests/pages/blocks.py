"""The fenced blocks of all pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"(?m)^(?:<!-- not run: (?P<reason>.+) -->\n)?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>(?s:.*?))^```$"
)


@dataclass(frozen=True, slots=True)
class Block:
    """`page` is its path in the repository; `reason` is why it is not tried, and may be empty."""

    page: str
    language: str
    title: str
    text: str
    reason: str


def every_block() -> Iterator[Block]:
    for page in PAGES:
        yield from blocks_in(page)


def blocks_in(page: Path) -> Iterator[Block]:
    name = str(page.relative_to(ROOT))
    for found in FENCE.finditer(page.read_text()):
        yield Block(name, found["language"], found["title"] or "", found["text"], found["reason"] or "")


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of a page that are to be tried: in these languages, at least one."""
    found = [each for each in blocks_in(ROOT / page) if each.language in languages and not each.reason]
    assert found, (page, languages)
    return found


def titled(page: str, title: str) -> str:
    """Return the text of the only block with a title."""
    (found,) = [each.text for each in blocks_in(ROOT / page) if each.title == title]
    return found
