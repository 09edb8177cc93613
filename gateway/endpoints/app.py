"""The gateway's own public routes, as an aiohttp application. The proxy reaches it in process, like any upstream."""

from aiohttp import web

from gateway.tokens.signing import SigningKey

_JWKS_LIFETIME = 300
"""Seconds for which a key set may be cached."""


def endpoints_application(identity_key: SigningKey | None, jwks_path: str) -> web.Application:
    """Return the application. Without an identity key it has no routes."""
    app = web.Application()
    if identity_key is not None:
        document = {"keys": [dict(identity_key.jwk)]}

        async def show_identity_jwks(_: web.Request) -> web.Response:
            headers = {"Cache-Control": f"public, max-age={_JWKS_LIFETIME}", "Access-Control-Allow-Origin": "*"}
            return web.json_response(document, headers=headers)

        app.add_routes([web.get(jwks_path, show_identity_jwks)])
    return app
