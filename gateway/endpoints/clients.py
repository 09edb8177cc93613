"""Which client sends a request, and the proof of it (RFC 6749 §2.3).

A public client says its `client_id`; a confidential one proves it with a secret, by Basic or in the form, never both.
An unknown client costs as much time as a wrong secret.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from aiohttp import web

from gateway.config.session_clients import ClientSettings, secret_hashes
from gateway.endpoints.forms import Parameters
from gateway.endpoints.secret_checks import SecretChecks
from gateway.model.errors import InvalidClient, MalformedGrantRequest


@dataclass(frozen=True, slots=True)
class Client:
    """A client that a request came from. `id` is its `client_id`."""

    id: str
    settings: ClientSettings

    @property
    def is_public(self) -> bool:
        return self.settings.type == "public"

    @property
    def may_refresh(self) -> bool:
        return "refresh_token" in self.settings.grants


class Clients:
    """All clients of a configuration."""

    def __init__(self, settings: Mapping[str, ClientSettings], read: Callable[[Path], bytes]) -> None:
        """`read` gives the content of a file named in the settings. Raises BadSetting."""
        self._clients = {name: Client(name, client) for name, client in settings.items()}
        self._checks = SecretChecks({name: secret_hashes(name, client, read) for name, client in settings.items()})

    def get(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def close(self) -> None:
        """Let go of threads."""
        self._checks.close()

    async def identify(self, request: web.Request, parameters: Parameters) -> Client | None:
        """Return the client; None if the request says nothing about it.

        Raises InvalidClient; MalformedGrantRequest for two ways at once.
        """
        basic = basic_credentials(request)
        client_id, secret = parameters.text("client_id"), parameters.text("client_secret")
        if basic is not None:
            if secret is not None or client_id not in (None, basic[0]):
                raise MalformedGrantRequest("the client authenticates in two ways")
            client_id, secret = basic[0], basic[1] or None
        elif client_id is None:
            if secret is not None:
                raise MalformedGrantRequest("client_secret without client_id")
            return None
        return await self._proven(client_id, secret)

    async def authenticate(self, request: web.Request, parameters: Parameters) -> Client:
        """Return a client that has proven who it is. Raises InvalidClient also for a public one."""
        client = await self.identify(request, parameters)
        if client is None or client.is_public:
            raise InvalidClient("no client authentication")
        return client

    async def _proven(self, client_id: str, secret: str | None) -> Client:
        client = self._clients.get(client_id)
        if secret is not None:
            is_right = await self._checks.is_right(client_id, secret)
            if client is None or not is_right:
                raise InvalidClient("an unknown client, or a wrong secret")
            return client
        if client is None or not client.is_public:
            raise InvalidClient("an unknown client, or one that must authenticate")
        return client


def basic_credentials(request: web.Request) -> tuple[str, str] | None:
    """Return `client_id` and secret of `Authorization: Basic` (RFC 6749 §2.3.1); None for another scheme or none."""
    value = authorization(request, "basic")
    if value is None:
        return None
    try:
        name, colon, secret = b64decode(value, validate=True).partition(b":")
        if not colon:
            raise ValueError("no colon")
        return _form_decoded(name), _form_decoded(secret)
    except (ValueError, binascii.Error) as error:
        raise InvalidClient("malformed Basic credentials") from error


def authorization(request: web.Request, scheme: str) -> str | None:
    """Return the credentials in `Authorization`, if they are of this scheme."""
    values = request.headers.getall("Authorization", [])
    if len(values) > 1:
        raise MalformedGrantRequest("several Authorization headers")
    named, _, credentials = values[0].partition(" ") if values else ("", "", "")
    return credentials.strip(" ") if named.lower() == scheme else None


def bearer_token(request: web.Request) -> str | None:
    """Return the token in `Authorization: Bearer`, or None."""
    return authorization(request, "bearer") or None


def _form_decoded(value: bytes) -> str:
    return unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8")
