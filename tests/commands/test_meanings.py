from typing import Annotated, ClassVar

from pydantic import Field

from gateway.commands.showing.meanings import meanings
from gateway.model.settings import Settings


class Common(Settings):
    """What both have."""

    name: str
    """What it is
    called."""
    size: int = 1
    """How large it is."""


class Special(Common):
    """With more."""

    size: Annotated[int, Field(ge=2)] = 2
    """How large it is, which is
    two or more."""
    bare: str = ""
    LIMIT: ClassVar = 3
    """Not a setting."""


def test_a_setting_means_what_stands_below_it() -> None:
    assert meanings(Common) == {"name": "What it is\ncalled.", "size": "How large it is."}


def test_settings_of_a_base_mean_the_same_unless_they_are_told_anew() -> None:
    assert meanings(Special) == {"name": "What it is\ncalled.", "size": "How large it is, which is\ntwo or more."}
