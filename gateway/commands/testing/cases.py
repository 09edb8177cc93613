"""The shape of a file of cases: who sends which requests, and what shall become of them."""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from gateway.model.settings import FilePath, Seconds, Settings

NOON = 1_767_268_800.0
"""2026-01-01T12:00:00Z: cases come to the same end on every day."""

Decision = Literal["allow", "refuse", "answer"]
DECISIONS: tuple[Decision, ...] = ("allow", "refuse", "answer")

_REQUEST = re.compile(r"([A-Za-z-]+) +(\S+)")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("is not a time; write 2026-01-01T12:00:00Z, or Unix seconds") from error
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write Z for UTC: 2026-01-01T12:00:00Z")
    return moment.timestamp()


Moment = Annotated[
    float,
    BeforeValidator(_moment),
    Field(ge=0, le=253402300799, allow_inf_nan=False),
    WithJsonSchema({"type": ["number", "string"], "description": "2026-01-01T12:00:00Z, or Unix seconds"}),
]


@dataclass(frozen=True)
class AlsoShort:
    """Tells the JSON schema of a mapping that a plain value may stand for it."""

    types: tuple[str, ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [*({"type": each} for each in self.types), handler(core)]}


class OrOne:
    """Tells the JSON schema of a list that one member may stand for it."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(core)
        return {"anyOf": [several["items"], several]}


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\r\n\0]")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("is not the name of a header")
    return value


def _value(value: str) -> str:
    if _UNSENDABLE.search(value):
        raise ValueError("is not the value of a header: it would end the line")
    return value


HeaderName = Annotated[str, AfterValidator(_name)]
"""Any name that can be sent (RFC 9110 §5.1): spellings that a gateway must not be fooled by are good cases."""

HeaderValues = Annotated[
    tuple[Annotated[str, AfterValidator(_value)], ...],
    BeforeValidator(_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One value, or a list of them."""


def _framed(headers: Any) -> Any:
    for name, values in headers.items():
        if name.lower() == "content-length" and any(not _LENGTH.fullmatch(value) for value in values or ()):
            raise ValueError("Content-Length must be a number")
        if name.lower() == "transfer-encoding" and any(value.lower() != "chunked" for value in values or ()):
            raise ValueError("Transfer-Encoding can only be chunked")
    return headers


_LENGTH = re.compile(r"[0-9]{1,18}")
Framed = AfterValidator(_framed)
"""What the parser before the gatekeeper refuses is no case for it."""


def _address(value: str) -> str:
    if value == "unix":
        return value
    try:
        return str(ip_address(value))
    except ValueError as error:
        raise ValueError("is not an IP address, and not unix") from error


Address = Annotated[str, AfterValidator(_address)]

_PLACE = re.compile(r"authorization|(cookie|header) [A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _place(value: str) -> str:
    if not _PLACE.fullmatch(value):
        raise ValueError("is not a place for a token; write authorization, cookie NAME or header NAME")
    return value


Place = Annotated[str, AfterValidator(_place)]

_PATH = re.compile(r"(?:/[^\s#]*|\*)")


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError("is not a path with a query; write /orders?full=1, or a whole URL")
    return value


class Caller(Settings):
    """Who sends a request: a token with these claims, as an authenticator of the configuration takes them for proven.

    `iss`, `aud`, `iat`, `exp`, `jti` and `sub` (the name of the caller) are filled in as the authenticator wants them.
    """

    authenticator: str | None = None
    """Whose tokens these are. May be left out while the configuration has only one authenticator."""
    claims: dict[str, Any] = {}
    """The claims, beside or instead of those that are filled in. `null` leaves one out."""
    age: Seconds = 0
    """How long ago the token was issued (`iat`)."""
    lifetime: Seconds = 300
    """How long it is good, from then on (`exp`)."""
    login_age: Seconds | None = None
    """How long ago the caller logged in (`auth_time`)."""
    expired: bool = False
    """It ran out, `leeway` included, a minute ago."""
    revoked: bool = False
    """It was revoked. Needs `state` in the configuration."""
    forged: bool = False
    """It is signed with a key that is not the issuer's."""
    typ: str | None = None
    """The `typ` of its header, in place of one that the authenticator takes."""
    sent_in: Place = "authorization"
    """Where it is sent: `authorization`, `cookie NAME` or `header NAME`."""


class Request(Settings):
    """One request. `GET /orders` is short for `{method: GET, path: /orders}`; a whole URL may stand for the path."""

    method: Annotated[str, Field(pattern=r"^[A-Za-z]+(?:-[A-Za-z]+)*$")] = "GET"
    """The method."""
    path: Annotated[str, AfterValidator(_path)]
    """The path with its query, exactly as it is sent; or a whole URL, which says host and https too."""
    host: str | None = None
    """The `Host`; that of `defaults` if left out."""
    https: bool | None = None
    """Whether it comes over TLS; as `defaults` says if left out."""
    client: Address | None = None
    """The address that connects, or `unix`; that of `defaults` if left out."""
    headers: Annotated[dict[HeaderName, HeaderValues | None], Framed] = {}
    """Headers, beside those of `defaults`. `null` leaves one of those out."""


def _request(value: Any) -> Any:
    if isinstance(value, str):
        if not (match := _REQUEST.fullmatch(value.strip())):
            raise ValueError("is not a request; write GET /orders, or a mapping with method and path")
        value = {"method": match[1], "path": match[2]}
    if isinstance(value, dict) and isinstance(value.get("path"), str) and (url := _URL.fullmatch(value["path"])):
        whole = {"host": url[2], "https": url[1].lower() == "https"}
        value = {**whole, **value, "path": url[3] if url[3].startswith("/") else f"/{url[3]}"}
    return value


class Defaults(Settings):
    """What requests have unless they say otherwise."""

    host: str = "gateway.test"
    """The `Host`."""
    https: bool = True
    """Whether they come over TLS."""
    client: Address = "192.0.2.1"
    """The address that connects, or `unix`."""
    headers: Annotated[dict[HeaderName, HeaderValues], Framed] = {}
    """Headers of every request."""


class Expectation(Settings):
    """What shall become of a request. Only what is given is looked at.

    `allow`, `refuse`, `answer`, a reason and a status may stand for the whole of it.
    """

    decision: Literal["allow", "refuse", "answer"] | None = None
    """`allow`, `refuse`, or `answer` for a CORS preflight that the gateway answers. `allow` where nothing says
    otherwise."""
    reason: str | None = None
    """Why it is refused, as in logs and metrics: `insufficient_scope`. A broader one holds for all narrower ones."""
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    """The status of the refusal or answer."""
    route: str | None = None
    """The id of the route."""
    upstream: str | None = None
    """The name of the upstream."""
    path: str | None = None
    """The path with its query, as the upstream gets it."""
    headers: dict[HeaderName, HeaderValues | None] = {}
    """Headers as the upstream gets them: exactly these values. `null`: it gets no such header."""

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        goes_on = [name for name in ("upstream", "path", "headers") if getattr(self, name)]
        if goes_on and self.wanted != "allow":
            raise ValueError(f"nothing of this request reaches an upstream, so there is no {', '.join(goes_on)}")
        if self.reason is not None and self.decision not in (None, "refuse"):
            raise ValueError("only a refusal has a reason")
        if self.status is not None and self.decision == "allow":
            raise ValueError("the status of a request that is allowed is the upstream's")
        return self

    @property
    def wanted(self) -> Decision | None:
        """What the decision must be; None where only a status says so."""
        if self.decision is not None:
            return self.decision
        if self.reason is not None:
            return "refuse"
        return None if self.status is not None else "allow"


def _expectation(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"status": value}
    if isinstance(value, str):
        return {"decision": value} if value in DECISIONS else {"reason": value}
    return value


class Case(Settings):
    """Requests that shall all come to the same end, from each of some callers."""

    name: Annotated[str, Field(min_length=1)]
    """What it is about, in words."""
    request: Annotated[
        tuple[Annotated[Request, BeforeValidator(_request), AlsoShort(("string",))], ...],
        BeforeValidator(_one_or_more),
        Field(min_length=1),
        OrOne(),
    ]
    """One request, or a list of them."""
    caller: Annotated[tuple[str | None, ...], BeforeValidator(_one_or_more), Field(min_length=1), OrOne()] = (None,)
    """The name of a caller, or a list of names; `null` and nothing at all for a request without a token."""
    expect: Annotated[Expectation, BeforeValidator(_expectation), AlsoShort(("string", "integer"))]
    """What shall become of them."""
    at: Moment | None = None
    """The time at which they come; that of the file if left out."""
    news_age: Seconds = 0
    """How old the news of revocations is: as long as the store has been silent. Needs `state` in the configuration."""


class Cases(Settings):
    """A file of cases."""

    config: FilePath | None = None
    """The configuration, relative to this file; `--config` wins over it."""
    environment: dict[str, str] = {}
    """Variables for the configuration; they win over those that are set."""
    at: Moment = NOON
    """The time at which requests come. Always the same unless given, so that cases do not depend on the day."""
    defaults: Defaults = Defaults()
    """What requests have unless they say otherwise."""
    callers: dict[str, Caller] = {}
    """Who sends requests, by name."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]
    """The cases."""
