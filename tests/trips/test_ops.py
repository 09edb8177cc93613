"""What operators see after the trips, and issuers that rotate their keys or are not there."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.issuing import Issuer
from tests.minting import NOW, SigningKey, access_claims, make_key
from tests.ports import free_port
from tests.trips.running import get, request, reserved_port, running, token
from tests.trips.test_websocket import UPGRADE, echoing
from tests.trips.wire import Client, ask, connected, eventually, upstream

OTHER = "https://other.example"


def remote(uri: str, more: str = "") -> str:
    return (
        "insecure: [http_issuer]\nauthenticators: {issuer: {type: jwt, issuer: 'https://gw.example',"
        f" audiences: ['https://api.example'], jwks_uri: '{uri}'{more}}}}}\n"
    )


def signed(key: SigningKey, **claims: object) -> str:
    return key.sign(access_claims(**claims))  # type: ignore[arg-type]


async def metrics(port: int) -> dict[str, float]:
    text = (await ask(port, get("/metrics", "Connection: close"))).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_the_metrics_count_the_trips(tmp_path: Path) -> None:
    ops = free_port()
    text = f'ops: {{address: "127.0.0.1:{ops}"}}\ncors: {{origins: ["https://app.example"]}}'
    async with upstream() as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        for bearer in (token(), token(), None, "junk", token(scope="none")):
            await client.ask(get("/api/orders", bearer=bearer))
        await client.ask(request("POST", "/open/x", body=b"x" * 1000))
        await client.ask(get("/nowhere"))
        await client.send(b"nonsense\r\n\r\n")
        await client.closed()
        preflight = ("Origin: https://app.example", "Access-Control-Request-Method: GET")
        await ask(gateway.port, request("OPTIONS", "/api/orders", *preflight))
        seen = await metrics(ops)
    assert seen['gateway_requests_total{method="GET",route="orders",status="2xx"}'] == 2
    assert seen['gateway_requests_total{method="GET",route="orders",status="4xx"}'] == 3
    assert seen['gateway_requests_total{method="POST",route="open",status="2xx"}'] == 1
    assert seen['gateway_decisions_total{reason="allow",route="orders"}'] == 2
    assert seen['gateway_decisions_total{reason="missing_credentials",route="orders"}'] == 1
    assert seen['gateway_decisions_total{reason="malformed_token",route="orders"}'] == 1
    assert seen['gateway_decisions_total{reason="insufficient_scope",route="orders"}'] == 1
    assert seen['gateway_decisions_total{reason="preflight",route="orders"}'] == 1
    assert seen['gateway_decisions_total{reason="no_route",route="-"}'] == 1
    assert seen['gateway_decisions_total{reason="malformed_message",route="-"}'] == 1
    assert seen['gateway_request_bytes_total{route="open"}'] == 1000
    assert seen['gateway_response_bytes_total{route="open"}'] == 2
    assert seen['gateway_upstream_connects_total{result="ok",upstream="app"}'] == 1
    assert seen['gateway_upstream_connections{state="idle",upstream="app"}'] == 1
    assert seen['gateway_added_seconds_count{route="orders"}'] == 2
    assert seen['gateway_upstream_seconds_count{route="orders"}'] == 2
    assert seen['gateway_request_seconds_count{route="orders"}'] == 6


async def test_the_metrics_count_connections_and_tunnels(tmp_path: Path) -> None:
    ops = free_port()
    text = f'ops: {{address: "127.0.0.1:{ops}"}}'
    async with upstream(echoing) as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/ws", *UPGRADE))
        await client.exactly(20)
        seen = await metrics(ops)
        assert seen["gateway_client_connections"] == 1
        assert seen["gateway_client_connections_accepted_total"] == 1
        assert seen["gateway_tunnels"] == 1


async def test_the_metrics_count_key_fetches_and_remembered_tokens(tmp_path: Path) -> None:
    ops = free_port()
    key = make_key("ES256", "one")
    async with Issuer(key).running() as issuer, upstream() as app:
        text = remote(issuer.jwks_uri) + f'ops: {{address: "127.0.0.1:{ops}"}}'
        async with running(tmp_path, text, app.url) as gateway:
            for _ in range(3):
                assert (await ask(gateway.port, get("/api/x", bearer=signed(key, jti="same")))).status == 200
            bearer = signed(key, jti="again")
            for _ in range(3):
                assert (await ask(gateway.port, get("/api/x", bearer=bearer))).status == 200
            seen = await metrics(ops)
    assert seen['gateway_key_fetches_total{authenticator="issuer",result="ok"}'] == 1
    assert seen['gateway_token_cache_entries{authenticator="issuer"}'] >= 2
    assert seen['gateway_token_cache_total{authenticator="issuer",result="hit"}'] >= 2


async def test_health_is_told_on_the_ops_port_only(tmp_path: Path) -> None:
    ops = free_port()
    async with running(tmp_path, f'ops: {{address: "127.0.0.1:{ops}"}}') as gateway:
        for path in ("/healthz", "/readyz", "/startupz"):
            assert (await ask(ops, get(path, "Connection: close"))).status == 200
            assert (await ask(gateway.port, get(path))).status == 404
        assert (await ask(gateway.port, get("/metrics"))).status == 404


# --- issuers


async def test_an_issuer_that_is_away_does_not_take_the_others_along(tmp_path: Path) -> None:
    ops = free_port()
    with reserved_port() as port:
        text = f"""
insecure: [http_issuer]
ops: {{address: "127.0.0.1:{ops}"}}
inject: []
log: {{level: error}}
authenticators:
  issuer: {{type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json}}
  other: {{type: jwt, issuer: "{OTHER}", audiences: ["https://api.example"], jwks_uri: "http://127.0.0.1:{port}/jwks"}}
routes: [{{id: all, match: {{path: "/**"}}, upstream: app, authenticators: [issuer, other]}}]
"""
        async with upstream() as app, running(tmp_path, text, app.url) as gateway:
            assert (await ask(ops, get("/readyz", "Connection: close"))).status == 200
            answer = await ask(gateway.port, get("/x", bearer=token(iss=OTHER)))
            assert answer.status == 503
            assert answer.all("WWW-Authenticate") == []
            assert answer.one("Retry-After") is not None
            assert answer.one("Cache-Control") == "no-store"
            assert json.loads(answer.body)["error"] == "temporarily_unavailable"
            assert app.connections == 0
            assert (await ask(gateway.port, get("/x", bearer=token()))).status == 200
            assert (await ask(ops, get("/readyz", "Connection: close"))).status == 200


async def statuses(client: Client, *bearers: str) -> list[int]:
    return [(await client.ask(get("/api/x", bearer=bearer))).status for bearer in bearers]


async def test_unknown_keys_cause_at_most_one_fetch_per_cooldown(tmp_path: Path) -> None:
    """C35"""
    known, unknown = make_key("ES256", "known"), make_key("ES256", "unknown")
    async with (
        Issuer(known).running() as issuer,
        upstream() as app,
        running(tmp_path, remote(issuer.jwks_uri), app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert await statuses(client, signed(known)) == [200]
        strangers = [unknown.sign(access_claims(), kid=f"stranger-{n}") for n in range(10)]
        assert await statuses(client, *strangers) == [401] * 10
        assert len(issuer.requests) == 1
        gateway.clock.now = NOW + 31
        together = await asyncio.gather(*(ask(gateway.port, get("/api/x", bearer=each)) for each in strangers))
        assert [answer.status for answer in together] == [401] * 10
        assert await statuses(client, *strangers) == [401] * 10
        assert len(issuer.requests) == 2
        assert len(app.requests) == 1


async def test_rotated_keys_are_found_without_a_restart_and_old_ones_die(tmp_path: Path) -> None:
    """C64"""
    old, new = make_key("ES256", "old"), make_key("ES256", "new")
    async with (
        Issuer(old).running() as issuer,
        upstream() as app,
        running(tmp_path, remote(issuer.jwks_uri), app.url) as gateway,
        connected(gateway.port) as client,
    ):
        remembered = signed(old)
        assert await statuses(client, remembered, remembered) == [200, 200]
        issuer.publish(new)
        gateway.clock.now = NOW + 31
        assert await statuses(client, remembered) == [200]  # nobody has asked yet
        assert await statuses(client, signed(new)) == [200]
        assert await statuses(client, remembered, signed(old)) == [401, 401]
        assert len(issuer.requests) == 2


async def test_known_keys_serve_while_the_issuer_is_down_but_not_for_ever(tmp_path: Path) -> None:
    """C65"""
    known, unknown = make_key("ES256", "known"), make_key("ES256", "unknown")
    async with Issuer(known).running() as issuer, upstream() as app:
        text = remote(issuer.jwks_uri, ", max_stale: 1000, max_lifetime: 7200")
        async with running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
            assert await statuses(client, signed(known, exp=NOW + 7000)) == [200]
            issuer.status = 500
            gateway.clock.now = NOW + 500
            fresh = [signed(known, jti=f"{n}", exp=NOW + 7000) for n in range(3)]
            assert await statuses(client, fresh[0], signed(unknown), fresh[1]) == [200, 503, 200]
            gateway.clock.now = NOW + 1001
            assert await statuses(client, fresh[2]) == [503]
            issuer.status = 200
            gateway.clock.now = NOW + 1100
            assert await statuses(client, fresh[2]) == [200]


async def test_requests_wait_for_the_first_keys_together(tmp_path: Path) -> None:
    known = make_key("ES256", "known")
    issuer = Issuer(known)
    issuer.gate.clear()
    async with issuer.running(), upstream() as app, running(tmp_path, remote(issuer.jwks_uri), app.url) as gateway:
        bearers = [signed(known, jti=f"{n}") for n in range(20)]
        asking = [asyncio.create_task(ask(gateway.port, get("/api/x", bearer=bearer))) for bearer in bearers]
        await eventually(lambda: len(gateway.gateway.plane.connections) == 20)
        issuer.gate.set()
        assert [(await each).status for each in asking] == [200] * 20
        assert len(issuer.requests) == 1


async def test_a_request_with_a_body_waits_for_the_keys_too(tmp_path: Path) -> None:
    known = make_key("ES256", "known")
    issuer = Issuer(known)
    issuer.gate.clear()
    async with (
        issuer.running(),
        upstream() as app,
        running(tmp_path, remote(issuer.jwks_uri), app.url) as gateway,
        connected(gateway.port) as client,
    ):
        body = b"x" * 1_000_000
        asking = asyncio.create_task(client.ask(request("POST", "/api/x", bearer=signed(known), body=body)))
        await asyncio.sleep(0.1)
        issuer.gate.set()
        assert (await asking).status == 200
        assert app.requests[0].body == body
        assert (await client.ask(get("/open/x"))).status == 200


async def test_pipelined_requests_wait_for_the_keys_in_order(tmp_path: Path) -> None:
    known = make_key("ES256", "known")
    issuer = Issuer(known)
    issuer.gate.clear()
    async with (
        issuer.running(),
        upstream() as app,
        running(tmp_path, remote(issuer.jwks_uri), app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(get("/api/1", bearer=signed(known)) + get("/api/2") + get("/open/3"))
        await asyncio.sleep(0.1)
        assert app.requests == []
        issuer.gate.set()
        assert [(await client.answer()).status for _ in range(3)] == [200, 401, 200]


@pytest.mark.parametrize("more", ["", ", discovery: true"])
async def test_keys_are_found_by_discovery(tmp_path: Path, more: str) -> None:
    known = make_key("ES256", "known")
    async with Issuer(known).running() as issuer, upstream() as app:
        key_setting = "discovery: true" if more else f"jwks_uri: '{issuer.jwks_uri}'"
        text = (
            f"insecure: [http_issuer]\nauthenticators: {{issuer: {{type: jwt, issuer: '{issuer.url}',"
            f" audiences: ['https://api.example'], {key_setting}}}}}\n"
        )
        async with running(tmp_path, text, app.url) as gateway:
            assert (await ask(gateway.port, get("/api/x", bearer=signed(known, iss=issuer.url)))).status == 200
