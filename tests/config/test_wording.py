"""What pydantic says, in words for people."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from gateway.config.wording import either, sentence


def said(annotation: Any, value: Any, *, may_echo: bool = True) -> str:
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        return sentence(error.errors(include_url=False), may_echo=may_echo)
    return ""


def test_bounds_are_said() -> None:
    assert said(Annotated[int, Field(gt=1)], 1) == "must be more than 1, not 1"
    assert said(Annotated[float, Field(lt=0.5)], 0.5) == "must be less than 0.5, not 0.5"
    assert said(Annotated[tuple[int, ...], Field(min_length=2)], [1]) == "must have at least 2 members"


def test_a_union_whose_members_complain_of_different_things_says_all_of_them() -> None:
    assert said(tuple[()] | int, [1]) == (
        "Tuple should have at most 0 items after validation, not 1; or must be a whole number"
    )


def test_a_long_value_is_cut_and_a_control_character_escaped() -> None:
    assert said(int, "a\nb") == 'must be a whole number, not "a\\nb"'
    assert said(int, "x" * 70).endswith('x…"')


def test_a_value_is_only_shown_if_it_may_be() -> None:
    assert said(int, "hunter2", may_echo=False) == "must be a whole number"


def test_alternatives_are_joined() -> None:
    assert [either(["a"]), either(["a", "b"]), either(["a", "b", "c"])] == ["a", "a or b", "a, b or c"]
