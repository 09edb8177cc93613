"""What the upstream is told: who is calling, by whom, and from where."""

import asyncio
import json
import socket
import tempfile
from pathlib import Path

import jwt
import pytest

from tests.minting import NOW, make_key
from tests.trips.running import get, running, token
from tests.trips.wire import Message, ask, upstream

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""

IDENTITY = """
identity: {issuer: "https://gateway.example", key_file: identity.pem}
inject:
  - {header: X-User-Id, claim: sub}
  - {identity_token: X-Identity, audience: orders, claims: [department]}
"""
JWKS = "/.well-known/gateway-identity-jwks.json"


async def told(directory: Path, text: str, *headers: str, bearer: str | None = None, path: str = "/api/x") -> Message:
    """Return the request as the upstream saw it."""
    async with upstream() as app, running(directory, text, app.url) as gateway:
        assert (await ask(gateway.port, get(path, *headers, bearer=bearer))).status == 200
        [seen] = app.requests
        return seen


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_an_identity_token_verifies_with_the_published_key(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "identity.pem").write_bytes(make_key(algorithm, "id").private_pem())
    async with upstream() as app, running(tmp_path, IDENTITY, app.url) as gateway:
        await ask(gateway.port, get("/api/x", bearer=token(department="sales")))
        published = await ask(gateway.port, get(JWKS))
        assert (published.status, published.one("Access-Control-Allow-Origin")) == (200, "*")
        [seen] = app.requests
    identity = seen.one("X-Identity") or ""
    keys = jwt.PyJWKSet.from_dict(json.loads(published.body))
    key = keys[jwt.get_unverified_header(identity)["kid"]]
    claims = jwt.decode(
        identity, key, [algorithm], audience="orders", options={"verify_exp": False, "verify_iat": False}
    )
    assert claims["sub"] == "alice"
    assert claims["department"] == "sales"
    assert claims["iss"] == "https://gateway.example"
    assert claims["origin_iss"] == "https://gw.example"
    assert claims["principal_type"] == "user"
    assert NOW <= claims["exp"] <= NOW + 60
    assert not {"d", "p", "q"} & json.loads(published.body)["keys"][0].keys()


async def test_the_gateways_own_routes_need_no_place_to_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    (tmp_path / "identity.pem").write_bytes(make_key("EdDSA", "id").private_pem())
    async with upstream() as app, running(tmp_path, IDENTITY, app.url) as gateway:
        assert (await ask(gateway.port, get(JWKS))).status == 200


async def test_the_published_key_wins_over_the_routes(tmp_path: Path) -> None:
    (tmp_path / "identity.pem").write_bytes(make_key("EdDSA", "id").private_pem())
    text = IDENTITY + 'routes: [{id: all, match: {path: "/**", hosts: [api.example]}, upstream: app, access: public}]'
    async with upstream() as app, running(tmp_path, text, app.url) as gateway:
        assert b'"keys"' in (await ask(gateway.port, get(JWKS))).body
        assert app.connections == 0


async def test_nothing_that_a_stranger_forwards_is_believed(tmp_path: Path) -> None:
    forged = (
        "X-Forwarded-For: 10.0.0.1",
        "X_Forwarded_For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 443",
        "Forwarded: for=10.0.0.1",
        "X-Real-IP: 10.0.0.1",
        "X-Original-URL: /admin",
        "X-Request-ID: forged",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    seen = await told(tmp_path, "", *forged, path="/open/x")
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("X-Forwarded-Host") == ["api.example"]
    assert "forged" not in (seen.one("X-Request-ID") or "")
    for name in ("X_Forwarded_For", "X-Forwarded-Port", "Forwarded", "X-Real-IP", "X-Original-URL", "traceparent"):
        assert seen.all(name) == []


async def test_a_trusted_proxy_is_believed_and_appended(tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    from_proxy = (
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example",
        "Forwarded: for=203.0.113.9;proto=https",
        "X-Request-ID: from-the-edge",
        f"traceparent: {trace}",
    )
    seen = await told(tmp_path, "trusted_proxies: [127.0.0.0/8]", *from_proxy, path="/open/x")
    assert seen.all("X-Forwarded-For") == ["203.0.113.9, 127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["https"]
    assert seen.all("X-Forwarded-Host") == ["shop.example"]
    assert (seen.one("Forwarded") or "").startswith("for=203.0.113.9;proto=https, for=127.0.0.1;")
    assert seen.all("X-Request-ID") == ["from-the-edge"]
    assert seen.all("traceparent") == [trace]


@pytest.mark.parametrize(
    ("policy", "host"), [("preserve", "api.example"), ("orders.internal:8443", "orders.internal:8443")]
)
async def test_the_upstream_sees_the_host_that_its_settings_say(tmp_path: Path, policy: str, host: str) -> None:
    seen = await told(tmp_path, f"app: {{host: '{policy}'}}", path="/open/x")
    assert seen.all("Host") == [host]


async def test_the_upstream_may_see_its_own_host(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "app: {host: target}", app.url) as gateway:
        await ask(gateway.port, get("/open/x"))
        assert app.requests[0].all("Host") == [app.url.removeprefix("http://")]


@pytest.mark.parametrize(
    ("rewrite", "path", "forwarded"),
    [
        ("{strip_prefix: /shop}", "/shop/a%2Db?q=%2F", "/a-b?q=%2F"),
        ("{strip_prefix: /shop}", "/shop", "/"),
        ("{strip_prefix: /shop/}", "/shop/", "/"),
        ("{replace_prefix: [/shop, /v2/store]}", "/shop/x/", "/v2/store/x/"),
        ("{replace_prefix: [/, /v2]}", "/shop/x", "/v2/shop/x"),
        ("{replace_prefix: [/shop, /]}", "/shop/x", "/x"),
    ],
)
async def test_paths_are_rewritten(tmp_path: Path, rewrite: str, path: str, forwarded: str) -> None:
    route = f'{{id: shop, match: {{path: "/shop/**"}}, upstream: app, access: public, rewrite: {rewrite}}}'
    seen = await told(tmp_path, f"routes: [{route}]", path=path)
    assert seen.target == forwarded


async def test_a_listener_may_have_an_ipv6_address(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with upstream() as app, running(tmp_path, 'listen: [{address: "[::1]:0"}]', app.url) as gateway:
        with socket.create_connection(("::1", gateway.port)) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, get("/open/x"))
            assert (await loop.sock_recv(client, 65536)).startswith(b"HTTP/1.1 200")
        assert app.requests[0].all("X-Forwarded-For") == ["::1"]
