"""The base of every settings model, and the types that settings share."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


class Settings(BaseModel):
    """A frozen value read from YAML; unknown keys are mistakes. Validation has no side effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)")
_SECONDS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|)")
_BYTES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, str | bool):
        raise ValueError("is not a duration; write 500ms, 10s, 5m, 1h or 1d")  # noqa: TRY004 - pydantic reports it
    return value


def _size(value: Any) -> Any:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2]]
    if isinstance(value, str | bool):
        raise ValueError("is not a size; write 512, 8KiB, 10MiB or 1GiB")  # noqa: TRY004 - pydantic reports it
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema({"type": ["number", "string"], "description": "A duration: 500ms, 10s, 5m, 1h, 1d"}),
]
ByteSize = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=0),
    WithJsonSchema({"type": ["integer", "string"], "description": "A size: 512, 8KiB, 10MiB, 1GiB"}),
]


def _claim_path(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(value.split("."))
    return value


ClaimPathSetting = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_claim_path),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "A claim: `sub`, `realm_access.roles`, or a list of names where a name contains a dot",
        }
    ),
]

HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^`|~-]+$"
"""RFC 9110 §5.1 token, without the underscore: WSGI and CGI servers cannot tell `X_User` from `X-User`."""

HeaderName = Annotated[str, Field(pattern=HEADER_NAME, max_length=128)]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("is not an origin; write https://app.example.com, in lower case and without a path")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
"""RFC 6454 §6.1, as browsers send it: scheme, host and port, in lower case and without a path."""

OriginOrAny = Annotated[str, AfterValidator(lambda value: value if value == "*" else _origin(value))]
"""An origin, or `*` for any."""

FilePath = Annotated[
    Path,
    WithJsonSchema({"type": "string", "format": "path", "description": "A path, relative to the configuration file"}),
]
