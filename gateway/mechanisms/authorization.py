"""The token source that nearly every route has: `Authorization: Bearer <token>`."""

from typing import Final

from gateway.mechanisms.base import Credentials
from gateway.model.errors import MalformedCredentials, SeveralCredentials
from gateway.model.request import InboundRequest

_TOKEN68: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
"""RFC 9110 §11.2; equal signs may follow."""


def token68(value: bytes) -> str:
    """Return a value that is one token68. Raises MalformedCredentials."""
    text = value.rstrip(b"=")
    if not text or text.translate(None, _TOKEN68):
        raise MalformedCredentials("the credentials are not one token68")
    return value.decode("ascii")


class AuthorizationHeader:
    """`Authorization: Bearer <token>` (RFC 6750 §2.1)."""

    @property
    def place(self) -> str:
        return "Authorization"

    @property
    def credentials(self) -> Credentials:
        return Credentials(headers=frozenset({b"authorization"}))

    def find(self, request: InboundRequest) -> str | None:
        values = request.all(b"authorization")
        if not values:
            return None
        if len(values) > 1:
            raise SeveralCredentials(f"{len(values)} Authorization headers")
        value = values[0]
        if value.startswith(b"Bearer "):
            return token68(value[7:].strip(b" "))
        scheme, _, token = value.partition(b" ")
        return token68(token.strip(b" ")) if scheme.lower() == b"bearer" else None
