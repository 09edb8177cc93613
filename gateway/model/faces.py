"""The public face of a refusal: the one place where an error becomes status, headers and body.

Everything in a face is a constant of the error's class, of the route or of the configuration, but the request id.
"""

import json
from dataclasses import dataclass

from gateway.model.errors import (
    InsufficientAuthentication,
    InsufficientScope,
    InvalidClient,
    MissingCredentials,
    RateLimited,
    Refusal,
    StillValid,
    TooManyAttempts,
    TooManySessions,
    Unavailable,
    WrongPassword,
)

OWN_REASON = "X-Gateway-Reason"
"""The header by which the gateway's own endpoints tell the data plane why they refuse. No client ever sees it."""


@dataclass(frozen=True, slots=True)
class Face:
    """What a refused client sees."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """The constant part of `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1)."""

    realm: str
    resource_metadata: str | None = None

    def header(self, refusal: Refusal) -> str:
        """Return the value of `WWW-Authenticate`; to a request without credentials a bare one (RFC 6750 §3.1)."""
        attributes = {"realm": self.realm}
        if not isinstance(refusal, MissingCredentials | WrongPassword):
            attributes |= {"error": refusal.error, "error_description": refusal.description}
        match refusal:
            case InsufficientScope(scope=scope) if scope:
                attributes["scope"] = " ".join(scope)
            case InsufficientAuthentication(acr_values=acr_values, max_age=max_age):
                attributes |= {"acr_values": " ".join(acr_values)} if acr_values else {}
                attributes |= {"max_age": str(max_age)} if max_age is not None else {}
        if self.resource_metadata is not None:
            attributes["resource_metadata"] = self.resource_metadata
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in attributes.items())


def face(refusal: Refusal, challenge: Challenge, request_id: str) -> Face:
    """Return what the client sees of a refusal."""
    body: dict[str, str | int] = {
        "error": refusal.error,
        "error_description": refusal.description,
        "request_id": request_id,
    }
    if isinstance(refusal, TooManySessions):
        body["sessions"] = refusal.sessions
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if refusal.challenges:
        headers.append(("WWW-Authenticate", challenge.header(refusal)))
    if isinstance(refusal, InvalidClient):
        headers.append(("WWW-Authenticate", f'Basic realm="{challenge.realm}", charset="UTF-8"'))
    if isinstance(refusal, RateLimited | Unavailable | StillValid | TooManyAttempts):
        headers.append(("Retry-After", str(refusal.retry_after)))
    return Face(refusal.status, tuple(headers), json.dumps(body).encode() + b"\n")
