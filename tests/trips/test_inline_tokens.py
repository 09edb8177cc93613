"""New tokens in the headers of answers, and what the gateway's own routes are told of a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.config.compile_sessions import ENDPOINTS
from gateway.engine.sessions import Opening
from gateway.model.session import Issued
from gateway.model.upstream import parse_target
from tests.minting import make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.trips.running import Running, get, request, running
from tests.trips.test_websocket import SWITCH, UPGRADE
from tests.trips.wire import Upstream, UpstreamWire, answering, connected, eventually, upstream

SESSIONS = """
trusted_proxies: [127.0.0.1]
state: {url: "sqlite:state.db"}
sessions:
  issuer: https://gw.example
  audiences: ["https://api.example"]
  key_file: own.json
  clients: {web: {type: public}}
authenticators: {own: {type: issued}}
routes:
  - {id: plain, match: {path: "/plain/**"}, upstream: app}
  - {id: renewing, match: {path: "/renewing/**"}, upstream: app, renew: header}
  - {id: inline, match: {path: "/inline/**"}, upstream: app, refresh_inline: true,
     cors: {origins: ["https://app.example"]}}
  - {id: strict, match: {path: "/strict/**"}, upstream: app, refresh_inline: true, require: [{scopes: [admin]}]}
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public, forward_token: true}
"""
CACHEABLE = (
    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Access-Token: the upstream's\r\nExpires: Thu, 01 Jan 2037\r\n"
    b"Content-Length: 2\r\n\r\nok"
)


@asynccontextmanager
async def gate(directory: Path, app: Upstream) -> AsyncIterator[Running]:
    """Run a gateway with sessions that knows of all revocations."""
    file = directory / "own.json"
    file.write_bytes(key_file(private_jwk(make_key("EdDSA", "a1")), refresh_jwk()))
    file.chmod(0o600)
    async with running(directory, SESSIONS, app.url) as gateway:
        view = gateway.gateway.plane.snapshot.gatekeeper.revocations
        assert view is not None
        await eventually(lambda: view.staleness() < 5)
        yield gateway


async def log_in(gateway: Running) -> Issued:
    sessions = gateway.gateway.plane.snapshot.sessions
    assert sessions is not None
    return await sessions.open(Opening("alice", "web"))


async def test_a_refresh_token_on_an_api_route_gives_the_answer_and_the_new_pair(tmp_path: Path) -> None:
    """C113"""
    async with upstream(answering(CACHEABLE)) as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        old = await log_in(gateway)
        assert old.refresh_token is not None
        answer = await client.ask(get("/inline/x", "Origin: https://app.example", bearer=old.refresh_token))
        assert (answer.status, answer.body) == (200, b"ok")
        assert (answer.one("Cache-Control"), answer.one("Expires")) == ("no-store", None)
        assert {"X-Access-Token", "X-Refresh-Token"} <= set(
            (answer.one("Access-Control-Expose-Headers") or "").split(", ")
        )
        access, refresh = answer.one("X-Access-Token"), answer.one("X-Refresh-Token")
        assert refresh not in (None, old.refresh_token)
        [seen] = app.requests
        assert old.refresh_token not in str(seen)
        assert seen.one("Authorization") is None
        assert seen.one("X-User-Id") == "alice"
        again = await client.ask(get("/plain/x", bearer=access))
        assert (again.status, again.one("Cache-Control")) == (200, "max-age=60")
        assert again.one("X-Access-Token") is None  # the upstream's: it does not hand out tokens here


async def test_the_pair_comes_with_a_refusal_too(tmp_path: Path) -> None:
    async with upstream() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        answer = await client.ask(get("/strict/x", bearer=(await log_in(gateway)).refresh_token))
        assert (answer.status, answer.one("Cache-Control")) == (403, "no-store")
        assert answer.one("X-Access-Token")
        assert answer.one("X-Refresh-Token")


async def test_the_pair_comes_with_a_websocket_too(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(SWITCH)
        await wire.closed()

    async with upstream(script) as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        await client.send(get("/inline/ws", *UPGRADE, bearer=(await log_in(gateway)).refresh_token))
        head = await client.head()
        assert (head.status, head.one("Cache-Control")) == (101, "no-store")
        assert head.one("X-Refresh-Token")


@pytest.mark.parametrize("path", ["/plain/x", "/renewing/x"])
async def test_elsewhere_a_refresh_token_is_refused(tmp_path: Path, path: str) -> None:
    """C114"""
    async with upstream() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        answer = await client.ask(get(path, bearer=(await log_in(gateway)).refresh_token))
        assert (answer.status, answer.one("X-Access-Token")) == (401, None)
        assert app.requests == []


async def test_a_refresh_token_that_is_no_good_is_challenged(tmp_path: Path) -> None:
    """R37"""
    async with upstream() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        token = (await log_in(gateway)).refresh_token
        assert token is not None
        answer = await client.ask(request("POST", "/inline/x", bearer=token[:-3] + "AAA", body=b"body"))
        assert answer.status == 401
        assert 'error="invalid_token"' in (answer.one("WWW-Authenticate") or "")
        assert answer.one("X-Access-Token") is None
        assert gateway.decisions("inline") == {"refused_refresh_token": 1}
        assert app.requests == []


async def test_an_access_token_is_renewed_in_the_answer_before_it_ends(tmp_path: Path) -> None:
    """C115"""
    async with upstream() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        old = await log_in(gateway)
        early = await client.ask(get("/renewing/x", bearer=old.access_token))
        assert (early.status, early.one("X-Access-Token")) == (200, None)
        gateway.clock.now = old.session.access_expires_at - 20
        assert (await client.ask(get("/plain/x", bearer=old.access_token))).one("X-Access-Token") is None
        late = await client.ask(get("/renewing/x", bearer=old.access_token))
        assert (late.status, late.one("Cache-Control"), late.one("X-Refresh-Token")) == (200, "no-store", None)
        gateway.clock.now = old.session.access_expires_at + 60
        assert (await client.ask(get("/plain/x", bearer=old.access_token))).status == 401
        assert (await client.ask(get("/plain/x", bearer=late.one("X-Access-Token")))).status == 200


# --- the gateway's own routes


async def test_own_routes_get_credentials_and_the_clients_address_which_nobody_else_can_say(tmp_path: Path) -> None:
    async with upstream() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        upstreams = cast(dict[str, Any], gateway.gateway.plane.snapshot.upstreams)
        endpoints = upstreams[ENDPOINTS]
        upstreams[ENDPOINTS] = replace(endpoints, targets=(parse_target(app.url),))
        lies = ("X-Gateway-Client-Address: 192.0.2.66", "x_gateway_client_address: 192.0.2.67")
        cookies = "Cookie: theme=dark; __Host-access=a; __Secure-refresh=r"
        for path in ("/oauth/token", "/open/x"):
            asked = request("POST", path, *lies, cookies, "X-Forwarded-For: 198.51.100.7", bearer="a", body=b"x")
            assert (await client.ask(asked)).status == 200
        upstreams[ENDPOINTS] = endpoints
        own, other = app.requests
        addresses = [[value for name, value in seen.headers if "lient" in name] for seen in (own, other)]
        assert addresses == [["198.51.100.7"], []]
        assert (own.one("Cookie"), other.one("Cookie")) == (cookies.removeprefix("Cookie: "), "theme=dark")
        assert own.one("Authorization") == "Bearer a"
