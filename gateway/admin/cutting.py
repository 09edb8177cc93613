"""What a call says that makes tokens void: `{"level": "client", "name": "web", "issuer": "https://…"}`."""

from dataclasses import dataclass

from gateway.model.errors import MalformedGrantRequest
from gateway.model.revocation import Level
from gateway.tokens.strict_json import NotStrictJson, read_object

LEVELS = {level.name.lower(): level for level in Level if level is not Level.GENERATION}
"""What can be made void, as it is called in a body. Generations are the gateway's own affair."""
_MEMBERS = ("level", "issuer", "name", "confirm")
_NAMELESS = frozenset({Level.EVERYTHING, Level.ISSUER})


@dataclass(frozen=True, slots=True)
class Cutting:
    """What is to be made void: all of `issuer`, or what it calls `name`."""

    level: Level
    issuer: str
    name: str


def read_cutting(body: bytes, own_issuer: str, issuers: frozenset[str]) -> Cutting:
    """Return what a body asks for. Raises MalformedGrantRequest.

    A misspelt word would make void too much, or nothing, and nobody would know: so nothing is ignored, and `issuer` is
    one of those whose tokens pass here. It is our own if it is left out. Whoever ends everything confirms it by
    typing our own issuer.
    """
    members = _members(body)
    level = LEVELS.get(members.get("level", ""))
    if level is None:
        raise MalformedGrantRequest(f"level is one of {', '.join(LEVELS)}")
    if (level in _NAMELESS) == ("name" in members):
        raise MalformedGrantRequest("name goes with every level but everything and issuer, and only with these")
    if level is Level.EVERYTHING and "issuer" in members:
        raise MalformedGrantRequest("everything is of all issuers")
    if members.get("confirm") != (own_issuer if level is Level.EVERYTHING else None):
        raise MalformedGrantRequest("everything needs confirm: the issuer of this gateway; nothing else takes it")
    issuer = members.get("issuer", own_issuer)
    if issuer not in issuers:
        raise MalformedGrantRequest("no tokens of this issuer are accepted here")
    return Cutting(level, issuer, members.get("name", ""))


def _members(body: bytes) -> dict[str, str]:
    try:
        members = read_object(body)
    except NotStrictJson as error:
        raise MalformedGrantRequest(f"the body is not a JSON object: {error}") from error
    if unknown := members.keys() - _MEMBERS:
        raise MalformedGrantRequest(f"{len(unknown)} unknown members; there are {', '.join(_MEMBERS)}")
    if not all(type(value) is str and value for value in members.values()):
        raise MalformedGrantRequest(f"{', '.join(_MEMBERS)} are text")
    return members
