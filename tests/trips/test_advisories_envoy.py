"""What Envoy's authentication filters, Istio and Envoy Gateway were broken by, tried here: docs/security.md."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.issuing import Issuer
from tests.minting import access_claims, make_key
from tests.ports import free_port
from tests.trips.attacking import Target, attacked, hello, lines_of
from tests.trips.running import KEY, get, request, token
from tests.trips.session_running import preset, serving
from tests.trips.test_advisories_pomerium import ADMIN, tampering_is_told_apart_from_nothing
from tests.trips.test_websocket import SWITCH, UPGRADE
from tests.trips.wire import OK, UpstreamWire, ask, connected, eventually, upstream

JUDGEMENT = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


def remote(uri: str, more: str = "") -> str:
    """Return an authenticator whose keys are published."""
    return (
        "insecure: [http_issuer]\nauthenticators: {issuer: {type: jwt, issuer: 'https://gw.example',"
        f" audiences: ['https://api.example'], jwks_uri: '{uri}'{more}}}}}\n"
    )


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


async def test_cve_2025_64527_a_failing_key_fetch_stops_nobody_and_lets_nobody_in(tmp_path: Path) -> None:
    issuer = Issuer(KEY)
    issuer.status = 500
    async with issuer.running(), attacked(tmp_path, remote(issuer.jwks_uri, ", cooldown: 1s")) as target:
        for path in ("/api/x", "/maybe/x", "/admin/x"):
            answer = await target.refuses(get(path, bearer=token()), 503)
            assert answer.one("Retry-After")
            await target.refuses(get(path, f"Authorization: Bearer {token()}", bearer=token()), 400)
        await target.refuses(get("/api/x"), 401)
        assert await target.identity(get("/maybe/x")) is None
        issuer.status = 200
        target.gateway.clock.now += 2
        assert await target.identity(get("/api/x", bearer=token())) == "alice"


async def test_cve_2024_45809_clients_that_leave_during_a_key_fetch_take_nothing_along(tmp_path: Path) -> None:
    issuer = Issuer(KEY)
    issuer.gate.clear()
    async with issuer.running(), attacked(tmp_path, remote(issuer.jwks_uri)) as target:
        for leave in ("close", "reset") * 5:
            async with connected(target.port) as client:
                await client.send(get("/api/x", bearer=token()))
                await eventually(lambda: target.gateway.gateway.plane.connections)
                if leave == "reset":
                    client.reset()
        async with connected(target.port) as client:
            await client.send(get("/api/x", bearer=token()) + get("/api/y", bearer=token(sub="bob")))
            await eventually(lambda: issuer.requests)
            issuer.gate.set()
            assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert [seen.one("X-User-Id") for seen in target.app.requests if seen.target == "/api/y"] == ["bob"]
        assert {seen.one("X-User-Id") for seen in target.app.requests if seen.target == "/api/x"} == {"alice"}


@JUDGEMENT
async def test_cve_2026_47775_no_answer_tells_how_a_forgery_was_recognised(tmp_path: Path) -> None:
    """Nothing is encrypted, so there is no padding; what is tampered with is a MAC, and all failures look the same."""
    changes = {**ADMIN, "sessions": {**ADMIN["sessions"], "junk_per_minute": 1000, "refresh": {"format": "jwt"}}}
    async with serving(tmp_path, preset("seed0"), changes=changes) as gate:
        await tampering_is_told_apart_from_nothing(gate, (await gate.log_in())["refresh_token"])


async def test_cve_2025_64763_early_data_goes_nowhere_before_its_owner_is_known(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        head = await wire.head()
        assert await wire.silent(0.2), "data before the answer to the upgrade"
        await wire.send(SWITCH if head.target == "/api/yes" else OK)
        if head.target == "/api/yes":
            assert await wire.exactly(5) == b"early"
        await wire.closed()

    async with attacked(tmp_path, script=script) as target:
        await target.refuses(
            b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n" + get("/admin/x"), 400
        )
        await target.refuses(get("/api/yes", *UPGRADE) + b"early", 401)
        async with connected(target.port) as client:
            assert (await client.ask(get("/api/yes", *UPGRADE, bearer=token()) + b"early")).status == 101
        async with connected(target.port) as client:
            no = get("/api/no", *UPGRADE, bearer=token()) + get("/admin/smuggled", "X-User-Id: root")
            assert (await client.ask(no)).status == 200
            assert (await client.answer()).status == 401
        assert [seen.target for seen in target.app.heads] == ["/api/yes", "/api/no"]


@JUDGEMENT
async def test_cve_2024_45806_headers_that_steer_the_next_proxy_are_not_a_strangers(target: Target) -> None:
    names = [
        *("X-Envoy-Internal", "x-envoy-original-path", "X_Envoy_Decorator_Operation", "X-Envoy-Retry-On"),
        *(
            "X-Envoy-External-Address",
            "X-Envoy-Upstream-Rq-Timeout-Ms",
            "X-Forwarded-Client-Cert",
            "X-Envoy-Peer-Metadata",
        ),
    ]
    for path, bearer in (("/public/x", None), ("/api/x", token())):
        seen = await target.passes(get(path, *(f"{name}: true" for name in names), bearer=bearer))
        assert not any(name.startswith(("X_ENVOY", "X_FORWARDED_CLIENT")) for name in lines_of(seen))


@JUDGEMENT
async def test_cve_2022_29226_a_token_that_is_merely_there_proves_nothing(target: Target) -> None:
    expired = token(exp=access_claims()["iat"], iat=access_claims()["iat"] - 60)
    for credential in ("x", "a.b.c", expired, f"{expired}x", KEY.sign(access_claims(iss="https://other.example"))):
        cookies = f"Cookie: BearerToken={credential}; OauthHMAC=x; OauthExpires=99999999999; session={credential}"
        await target.refuses(get("/api/x", cookies), 401)
        await target.refuses(get("/api/x", bearer=credential), 401)
        await target.refuses(get("/cookie/x", cookies), 401)
        await target.refuses(get("/maybe/x", bearer=credential), 401)


DOTS = """
routes:
  - {id: v1, match: {path: "/v1.0/**"}, upstream: app, require: [{scopes: [orders.read]}]}
  - {id: who, match: {path: "/who/**"}, upstream: app, require: [{claim: client_id, one_of: [spiffe.a/ns.x/sa.web]}]}
  - {id: host, match: {path: "/**", hosts: [a.b.example]}, upstream: app}
"""


@JUDGEMENT
async def test_cve_2026_39350_a_dot_is_a_dot(tmp_path: Path) -> None:
    async with attacked(tmp_path, DOTS) as target:
        assert await target.identity(get("/v1.0/x", bearer=token(scope="orders.read"))) == "alice"
        assert await target.identity(get("/who/x", bearer=token(client_id="spiffe.a/ns.x/sa.web"))) == "alice"
        await target.refuses(get("/v1.0/x", bearer=token(scope="ordersxread orders*read")), 403)
        await target.refuses(get("/who/x", bearer=token(client_id="spiffe.a/nsxx/sa.web")), 403)
        await target.refuses(get("/who/x", bearer=token(client_id="xspiffe.a/ns.x/sa.webx")), 403)
        for path, host in (("/v1x0/x", "api.example"), ("/x", "axb.example"), ("/x", "a.bxexample")):
            await target.refuses(hello(path, host=host, bearer=token()), 404)


async def test_cve_2026_41413_key_fetches_go_to_the_configured_origin_only(tmp_path: Path) -> None:
    """SSRF by `jwksUri`: no redirect leads inside, and no token says where keys are."""
    async with upstream() as inside:

        async def moved(_: web.Request) -> web.Response:
            raise web.HTTPFound(f"{inside.url}/latest/meta-data")

        app = web.Application()
        app.router.add_get("/jwks", moved)
        async with TestServer(app) as server, attacked(tmp_path, remote(str(server.make_url("/jwks")))) as target:
            forger = make_key("EdDSA", "forger")
            for header in ({}, {"jku": f"{inside.url}/jwks"}, {"x5u": f"{inside.url}/cert"}, {"jwk": forger.jwk()}):
                await target.refuses(get("/api/x", bearer=forger.sign(access_claims(), **header)), 503)
            issuer = forger.sign(access_claims(iss=inside.url))
            await target.refuses(get("/api/x", bearer=issuer), 401, 503)
        assert inside.connections == 0


async def test_cve_2025_24030_the_metrics_listener_leads_nowhere_else(tmp_path: Path) -> None:
    ops = free_port()
    async with attacked(tmp_path, f'ops: {{address: "127.0.0.1:{ops}"}}') as target:
        assert (await ask(ops, get("/metrics", "Connection: close"))).status == 200
        for path in (
            *("/metrics/../admin", "/metrics/../../admin/api/v1/sessions", "/metrics/..%2fadmin", "//admin", "/api/x"),
            *("/config_dump", "/stats", "/quitquitquit", "/metrics/", "/debug/pprof", "http://127.0.0.1/admin"),
        ):
            assert (await ask(ops, get(path, "Connection: close"))).status in (400, 404), path
        for method in ("POST", "PUT", "DELETE"):
            assert (await ask(ops, request(method, "/metrics", "Connection: close", body=b""))).status == 405
        assert target.app.connections == 0
