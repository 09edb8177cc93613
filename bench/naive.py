"""The proxy one writes in an afternoon: aiohttp on both sides, PyJWT for every request, no token cache."""

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from multidict import CIMultiDict, CIMultiDictProxy

from bench.material import AUDIENCE, INJECTED, ISSUER, REQUIRED_SCOPE

HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Naive:
    """One handler and one ClientSession; a token is verified each time it comes."""

    def __init__(self, upstream: str, public_key: bytes) -> None:
        self._upstream = upstream
        self._key = load_pem_public_key(public_key)
        self._client: aiohttp.ClientSession

    async def client(self, _: web.Application) -> AsyncIterator[None]:
        """Hold the client open while the application runs."""
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            yield

    async def handle(self, request: web.Request) -> web.Response:
        """Verify, check the scope, add the claim headers, forward."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"], issuer=ISSUER, audience=AUDIENCE)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return web.json_response({"error": "invalid_token"}, status=401)
        if REQUIRED_SCOPE not in claims.get("scope", "").split():
            return web.json_response({"error": "insufficient_scope"}, status=403)
        headers = _end_to_end(request.headers)
        for header, claim in INJECTED.items():
            headers[header] = claims[claim]
        return await self._forward(request, headers)

    async def _forward(self, request: web.Request, headers: CIMultiDict[str]) -> web.Response:
        url = self._upstream + request.path_qs
        body = await request.read() if request.can_read_body else None
        async with self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            return web.Response(status=answer.status, headers=_end_to_end(answer.headers), body=await answer.read())


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--public-key", type=Path, required=True)
    options = parser.parse_args()
    naive = Naive(options.upstream, options.public_key.read_bytes())
    app = web.Application()
    app.cleanup_ctx.append(naive.client)
    app.router.add_route("*", "/{path:.*}", naive.handle)
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
