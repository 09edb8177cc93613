"""What clients can find out by themselves: keys (RFC 7517), the issuer (RFC 8414), the resource (RFC 9728).

Public, the same for everybody, and readable by any page.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.config.sessions import SessionsSettings, origin_of
from gateway.endpoints.context import Endpoints

LIFETIME = 300
"""Seconds for which a document may be cached: what is rotated must be published for longer before its first use."""

PUBLIC = {"Cache-Control": f"public, max-age={LIFETIME}", "Access-Control-Allow-Origin": "*"}


async def jwks(endpoints: Endpoints, _: web.Request) -> web.Response:
    return public_document(endpoints.own.keys.current.jwks())


async def issuer_metadata(endpoints: Endpoints, _: web.Request) -> web.Response:
    return public_document(issuer_document(endpoints.settings))


async def resource_metadata(endpoints: Endpoints, _: web.Request) -> web.Response:
    return public_document(resource_document(endpoints.settings))


def public_document(document: Mapping[str, Any]) -> web.Response:
    """Return a document that anybody may read and keep for a while."""
    return web.json_response(dict(document), headers=PUBLIC)


def issuer_document(settings: SessionsSettings) -> dict[str, Any]:
    """Return the metadata of the issuer. What is empty or switched off is left out (RFC 8414 §3.2)."""
    endpoints, clients = settings.endpoints, settings.clients.values()
    with_secret = [client for client in clients if client.type == "confidential"]
    methods = ["client_secret_basic", "client_secret_post"] if with_secret else []
    all_methods = methods + (["none"] if len(with_secret) < len(clients) else [])
    may_introspect = endpoints.introspect is not None and any(client.may.introspect for client in with_secret)
    return _without_empty(
        {
            "issuer": settings.issuer,
            "token_endpoint": _url(settings, endpoints.token),
            "token_endpoint_auth_methods_supported": all_methods,
            "jwks_uri": _url(settings, endpoints.jwks),
            "scopes_supported": _scopes(settings),
            # Required, and never empty (RFC 8414 §2, §3.2): this one names no way to get a token.
            "response_types_supported": ["none"],
            "grant_types_supported": sorted({grant for client in clients for grant in client.grants}),
            "revocation_endpoint": _url(settings, endpoints.revoke),
            "revocation_endpoint_auth_methods_supported": [] if endpoints.revoke is None else all_methods,
            "introspection_endpoint": _url(settings, endpoints.introspect),
            "introspection_endpoint_auth_methods_supported": methods if may_introspect else [],
        }
    )


def resource_document(settings: SessionsSettings) -> dict[str, Any]:
    """Return the metadata of the resource that the gateway protects."""
    resource = settings.resource
    assert resource is not None
    return _without_empty(
        {
            "resource": resource.identifier,
            "authorization_servers": [settings.issuer],
            "bearer_methods_supported": ["header"],
            "scopes_supported": list(resource.scopes_supported),
            "resource_name": resource.name,
            "resource_documentation": resource.documentation,
        }
    )


def _scopes(settings: SessionsSettings) -> list[str]:
    named = [settings.scope, *(client.scope or "" for client in settings.clients.values())]
    return sorted({name for scope in named for name in scope.split()})


def _url(settings: SessionsSettings, path: str | None) -> str | None:
    return None if path is None else origin_of(settings.issuer) + path


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in (None, [])}
