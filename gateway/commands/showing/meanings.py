"""What settings mean: the texts below them in the source. Read when somebody asks, not at every start."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache

from gateway.model.settings import Settings


def meanings(model: type[Settings]) -> Mapping[str, str]:
    """Return what each setting of a model means, those that it has from its bases included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Settings):
            found |= _own_meanings(base)
    return found


@cache
def _own_meanings(model: type[Settings]) -> Mapping[str, str]:
    [definition] = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for setting, text in zip(definition.body, definition.body[1:], strict=False):
        match setting, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(meaning))) if (
                name in model.model_fields
            ):
                found[name] = inspect.cleandoc(meaning)
    return found
