"""Writes results into docs/performance.md, between marks that stay in place, and the plot beside it."""

import re
from pathlib import Path
from typing import Final

from bench.plot import plot
from bench.processes import ROOT, BenchError
from bench.report import blocks
from bench.results import Results
from bench.rows import CONTENDERS

PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "images" / "performance.svg"


def write_pages(results: Results, page: Path = PAGE, image: Path = PLOT) -> None:
    """Put what was measured in the place of what was measured before."""
    text = page.read_text()
    for name, block in blocks(results).items():
        text = with_block(text, name, block)
    page.write_text(text)
    if CONTENDERS in results.rows:
        image.parent.mkdir(exist_ok=True)
        image.write_text(plot(results.rows[CONTENDERS]))


def with_block(text: str, name: str, block: str) -> str:
    """Return the text with a block between its marks: `<!-- bench: NAME -->` and `<!-- end -->`."""
    begin, end = f"<!-- bench: {name} -->\n", "<!-- end -->"
    new, found = re.subn(
        re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}{block}\n{end}", text, count=1, flags=re.DOTALL
    )
    if not found:
        raise BenchError(f"the page has no place for {name}: {begin.strip()} … {end}")
    return new
