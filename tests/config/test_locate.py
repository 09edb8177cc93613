"""pydantic's locations are turned into paths in the file, whatever the tags of unions are called."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError

from gateway.config.locate import names_at, plain_error, true_path
from gateway.model.settings import Settings


class Cat(Settings):
    type: Literal["cat"]
    lives: int = 9


class Dog(Settings):
    type: Literal["dog"]
    lives: int = 1
    owner: int = Field(default=1, alias="class")


class Plain(Settings):
    lives: int


class Zoo(Settings):
    by_name: dict[Annotated[str, Field(pattern="^[a-z]+$")], Annotated[Cat | Dog, Field(discriminator="type")]] = {}
    untagged: tuple[Plain | int | None, ...] = ()
    tagged: (
        Annotated[
            Annotated[Cat, Tag("lives")] | Annotated[Dog, Tag("type")],
            Discriminator(lambda value: "lives" if "lives" in value else "type"),
        ]
        | None
    ) = None
    pair: tuple[int, Plain] | None = None
    unions: tuple[tuple[int, ...] | Plain, ...] = ()


def located(data: dict[str, Any]) -> list[tuple[str | int, ...]]:
    with pytest.raises(ValidationError) as caught:
        Zoo.model_validate(data)
    return [true_path(Zoo, plain_error(error)["loc"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"by_name": {"tom": {"type": "cat", "lives": "x"}}}, ("by_name", "tom", "lives")),
        ({"by_name": {"cat": {"type": "cat", "lives": "x"}}}, ("by_name", "cat", "lives")),
        ({"by_name": {"rex": {"type": "dog", "class": "x"}}}, ("by_name", "rex", "class")),
        ({"by_name": {"rex": {"type": "dog", "unknown": 1}}}, ("by_name", "rex", "unknown")),
        ({"by_name": {"TOM": {"type": "cat"}}}, ("by_name", "TOM")),
        ({"by_name": {"rex": {"type": "fish"}}}, ("by_name", "rex", "type")),
        ({"by_name": {"rex": {"type": None}}}, ("by_name", "rex", "type")),
        ({"by_name": {"rex": {}}}, ("by_name", "rex", "type")),
        ({"by_name": {"rex": 1}}, ("by_name", "rex")),
        ({"tagged": {"type": "cat", "lives": "x"}}, ("tagged", "lives")),
        ({"tagged": {"type": "x"}}, ("tagged", "type")),
        ({"pair": [1, {"lives": "x"}]}, ("pair", 1, "lives")),
        ({"pair": ["x", {"lives": 1}]}, ("pair", 0)),
        ({"pair": [1, {"lives": 1}, 2]}, ("pair",)),
        ({"unknown": {"a": 1}}, ("unknown",)),
    ],
)
def test_a_location_becomes_a_path(data: dict[str, Any], path: tuple[str | int, ...]) -> None:
    assert located(data) == [path]


def test_every_member_of_an_untagged_union_has_the_same_path() -> None:
    assert located({"untagged": [1, "x"]}) == [("untagged", 1), ("untagged", 1)]
    assert ("untagged", 0, "lives") in located({"untagged": [{"lives": "x"}]})


def test_the_settings_of_the_model_at_a_location_are_known() -> None:
    assert names_at(Zoo, ("by_name", "rex", "dog")) == {"type", "lives", "class"}
    assert names_at(Zoo, ("tagged", "lives")) == {"type", "lives"}
    assert names_at(Zoo, ()) == set(Zoo.model_fields)
    assert names_at(Zoo, ("untagged", 0, "int")) == set()
