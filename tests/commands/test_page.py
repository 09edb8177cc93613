"""The page about commands has all of them, and every option of those that ask a gateway."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from gateway.cli import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from options(below)
        yield from (option for option in action.option_strings if option.startswith("--") and option != "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_the_page(name: str) -> None:
    assert re.search(rf"(?m)^\| .*`gateway {name}\b", PAGE)


@pytest.mark.parametrize("name", ["top", "tail", "sessions"])
def test_every_option_of_a_command_that_asks_is_on_the_page(name: str) -> None:
    parser = argparse.ArgumentParser()
    import_module(f"gateway.commands.{name}").add(parser.add_subparsers())
    found = set(options(parser))
    assert found
    assert sorted(option for option in found if f"`{option}" not in PAGE and f" {option} " not in PAGE) == []
