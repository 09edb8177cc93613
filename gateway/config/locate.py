"""Where in the data a pydantic mistake is.

pydantic's location mixes the tags of unions into the path: `("require", 0, "any", "any", 1, "claim", "equals")`. A tag
may be spelled like a key beside it, so the data alone cannot tell them apart; the annotations of the models can.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.mistakes import SettingPath

Location = tuple[str | int, ...]


def true_path(annotation: Any, location: Location) -> SettingPath:
    """Return the path of a pydantic location in the data that was validated against `annotation`."""
    path: list[str | int] = []
    for part in location[:-1] if is_about_key(location) else location:
        in_data, annotation = _step(annotation, part)
        if in_data:
            path.append(part)
    return tuple(path)


def plain_error(error: ErrorDetails) -> ErrorDetails:
    """Return a mistake in the setting that tells the members of a union apart as one in any other setting."""
    if error["type"] not in ("union_tag_not_found", "union_tag_invalid"):
        return error
    name = error["ctx"]["discriminator"].strip("'")
    location = (*error["loc"], name)
    if error["type"] == "union_tag_not_found":
        return {**error, "type": "missing", "loc": location}
    given, expected = error["input"][name], {"expected": error["ctx"]["expected_tags"]}
    return {**error, "type": "literal_error", "loc": location, "input": given, "ctx": expected}


def is_about_key(location: Location) -> bool:
    """Say whether the mistake is in a key, and not in its value."""
    return location[-1:] == ("[key]",)


def names_at(annotation: Any, location: Location) -> frozenset[str]:
    """Return the settings that the model at a pydantic location has; none where there is no model."""
    for part in location:
        annotation = _step(annotation, part)[1]
    model = _bare(annotation)
    return frozenset(fields_of(model)) if is_model(model) else frozenset()


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the name they have in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def is_model(annotation: Any) -> bool:
    """Say whether an annotation is a model class."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _step(annotation: Any, part: str | int) -> tuple[bool, Any]:
    """Follow one part of a location: say whether the data has it too, and return the annotation of what follows."""
    bare = _bare(annotation)
    origin, arguments = get_origin(bare), get_args(bare)
    if is_model(bare):
        field = fields_of(bare).get(str(part))
        return True, field.rebuild_annotation() if field else Any
    if origin in (Union, UnionType):
        labelled = next((member for member in arguments if _is_labelled(member, part)), None)
        return labelled is None and _is_setting_of_one(arguments, part), labelled or Any
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return True, arguments[1]
    if arguments and isinstance(part, int):
        is_pair = origin is tuple and Ellipsis not in arguments
        return True, arguments[part] if is_pair and part < len(arguments) else arguments[0]
    return isinstance(part, int), Any


def _bare(annotation: Any) -> Any:
    """Return an annotation without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else Union[tuple(members)]  # noqa: UP007 (made while running)
    return annotation


def _is_setting_of_one(members: tuple[Any, ...], name: str | int) -> bool:
    models = [model for model in map(_bare, members) if is_model(model)]
    return any(name in fields_of(model) for model in models)


def _is_labelled(member: Any, label: str | int) -> bool:
    """Say whether pydantic calls this member of a union so: by its tag, its discriminator's value, or its class."""
    tags = [mark.tag for mark in get_args(member) if isinstance(mark, Tag)]
    if tags:
        return label in tags
    bare = _bare(member)
    if not is_model(bare):
        return False
    literals = (_bare(field.annotation) for field in bare.model_fields.values())
    return bare.__name__ == label or any(get_origin(a) is Literal and label in get_args(a) for a in literals)
