"""Cross-origin requests: preflights, and the headers that let a page read an answer (Fetch §3.2)."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.model.errors import OriginNotAllowed
from gateway.model.request import InboundRequest

Headers = tuple[tuple[str, str], ...]

_METHOD: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 §9.1."""


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Which origins may do what.

    `answers_preflight`: the gateway answers preflights, and marks the upstream's answers itself.
    """

    origins: frozenset[str]
    credentials: bool
    answers_preflight: bool
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    expose: tuple[str, ...]
    max_age: int

    def allows(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins

    def readable(self, request: InboundRequest) -> Headers:
        """Return the headers that let the page which sent the request read the answer; `Vary` in any case."""
        origins = request.all(b"origin")
        if len(origins) != 1 or not self.allows(origin := origins[0].decode("latin-1")):
            return (("Vary", "Origin"),)
        headers = [("Vary", "Origin"), ("Access-Control-Allow-Origin", "*" if "*" in self.origins else origin)]
        if self.credentials:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        headers.append(("Access-Control-Expose-Headers", ", ".join(self.expose)))
        return tuple(headers)

    def preflight(self, request: InboundRequest) -> Headers:
        """Return the answer's headers to a preflight. Raises OriginNotAllowed."""
        origin = (request.one(b"origin") or b"").decode("latin-1")
        if not self.allows(origin):
            raise OriginNotAllowed(f"origin {origin[:100]!r} is not allowed")
        readable = tuple(
            (name, value) for name, value in self.readable(request) if name != "Access-Control-Expose-Headers"
        )
        wanted = (request.one(b"access-control-request-method") or b"").decode("latin-1")
        return (
            *readable,
            ("Access-Control-Allow-Methods", ", ".join(self.methods or (wanted,))),
            ("Access-Control-Allow-Headers", ", ".join(self.headers)),
            ("Access-Control-Max-Age", str(self.max_age)),
        )


def is_preflight(request: InboundRequest) -> bool:
    """Say whether this is a CORS preflight as browsers send it (Fetch §4.8): it asks for a method, and has no body.

    Anything else is an ordinary OPTIONS request, which needs a token where any request does.
    """
    if request.method != "OPTIONS" or not request.all(b"origin"):
        return False
    wanted = request.all(b"access-control-request-method")
    has_body = request.all(b"transfer-encoding") or request.all(b"content-length") not in ([], [b"0"])
    return bool(wanted) and all(_METHOD.fullmatch(method) for method in wanted) and not has_body
