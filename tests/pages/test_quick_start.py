"""The quick start does what it says, from the first line to the last."""

from pathlib import Path

from tests.pages.blocks import blocks
from tests.pages.typing_in import answers, assert_shown, commands, on_free_ports, typed


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    page = on_free_ports(blocks("docs/quick-start.md", "sh", "yaml", "console"))
    assert_shown(answers(page), typed(commands(page), tmp_path))
