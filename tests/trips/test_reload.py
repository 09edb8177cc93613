"""Change without loss: what is in a configuration is replaced while requests run, all of it or nothing."""

import asyncio
import json
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.minting import NOW, SigningKey, access_claims, jwks, make_key
from tests.trips.certificates import make_authority
from tests.trips.reloading import WITHIN, reloading, replace, steadily, whole
from tests.trips.running import KEY, get, request, token
from tests.trips.wire import Client, Cut, Gate, UpstreamWire, answering, ask, connected, eventually, upstream

ISSUER = {"type": "jwt", "issuer": "https://gw.example", "audiences": ["https://api.example"], "jwks_file": "keys.json"}
ROUTE = {"id": "api", "match": {"path": "/api/**"}, "upstream": "app"}
OPEN = {"id": "open", "match": {"path": "/open/**"}, "upstream": "app", "access": "public"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at often."""
    monkeypatch.setattr("gateway.reload.LOOK_EVERY", 0.05)


# --- routes and what they require


async def test_a_route_is_added_changed_and_removed(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/new/x"))).status == 404
        await gateway.change(routes=[ROUTE, {"id": "new", "match": {"path": "/new/**"}, "upstream": "app"}])
        assert (await client.ask(get("/new/x"))).status == 401
        assert (await client.ask(get("/open/x"))).status == 404
        await gateway.change(routes=[{**OPEN, "id": "new", "match": {"path": "/new/**"}}])
        assert (await client.ask(get("/new/x"))).status == 200
        assert (await client.ask(get("/api/x", bearer=token()))).status == 404


async def test_a_stricter_route_holds_for_a_token_that_was_seen_before(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/api/x", bearer=token()))).status == 200
        await gateway.change(routes=[{**ROUTE, "require": [{"scopes": ["admin"]}]}])
        assert (await client.ask(get("/api/x", bearer=token()))).status == 403


async def test_what_is_injected_changes_for_a_caller_that_was_seen_before(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.ask(get("/api/x", bearer=token()))
        await gateway.change("inject: [{header: X-Who, claim: sub}]")
        await client.ask(get("/api/x", "X-Who: root", bearer=token()))
        assert [each.one("X-User-Id") for each in app.requests] == ["alice", None]
        assert [each.one("X-Who") for each in app.requests] == [None, "alice"]


@pytest.mark.parametrize(
    ("text", "head", "status"),
    [
        ("limits: {target_bytes: 100}", get("/open/" + 200 * "x"), 414),
        ("limits: {token_bytes: 100}", get("/api/x", bearer=token()), 400),
        ("limits: {headers: 3}", get("/open/x", "A: 1", "B: 2", "C: 3"), 431),
        ("limits: {identity_bytes: 8}", get("/api/x", bearer=token()), 401),
        ("token_from: [{header: X-Token}]", get("/api/x", bearer=token()), 401),
    ],
)
async def test_bounds_change_for_connections_that_are_open(tmp_path: Path, text: str, head: bytes, status: int) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(head)).status == 200
        await gateway.change(text)
        assert (await client.ask(head)).status == status


async def test_cors_headers_and_the_realm_change(tmp_path: Path) -> None:
    origin = "Origin: https://app.example"
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/api/x", origin))).one("Access-Control-Allow-Origin") is None
        await gateway.change('cors: {origins: ["https://app.example"]}\nrealm: other\nheaders: {request_id: X-Id}')
        answer = await client.ask(get("/api/x", origin))
        assert answer.one("Access-Control-Allow-Origin") == "https://app.example"
        assert 'realm="other"' in (answer.one("WWW-Authenticate") or "")
        assert answer.one("X-Id") is not None


async def test_a_proxy_that_is_trusted_no_more_is_not_believed_on_its_open_connection(tmp_path: Path) -> None:
    head = get("/open/x", "X-Forwarded-For: 192.0.2.7")
    trusting = "trusted_proxies: [127.0.0.1]"
    async with upstream() as app, reloading(tmp_path, trusting, app.url) as gateway, connected(gateway.port) as client:
        await client.ask(head)
        await gateway.change()
        await client.ask(head)
        await gateway.change(trusting)
        await client.ask(head)
    seen = [each.one("X-Forwarded-For") for each in app.requests]
    assert seen == ["192.0.2.7, 127.0.0.1", "127.0.0.1", "192.0.2.7, 127.0.0.1"]


async def test_a_proxy_that_is_trusted_no_more_is_not_believed_for_what_waits_behind_an_answer(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        upstream(gate.script) as app,
        reloading(tmp_path, "trusted_proxies: [127.0.0.1]", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(2 * get("/open/x", "X-Forwarded-For: 192.0.2.7"))
        await eventually(lambda: app.requests, WITHIN)
        [connection] = gateway.gateway.plane.connections
        await eventually(lambda: connection.queue, WITHIN)
        await gateway.change()
        gate.open.set()
        for _ in range(2):
            assert (await client.answer()).status == 200
    assert [each.one("X-Forwarded-For") for each in app.requests] == ["192.0.2.7, 127.0.0.1", "127.0.0.1"]


async def test_the_log_changes_its_level(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        gateway.write(log={"level": "error", "access": False, "format": "text"})
        gateway.gateway.reload_soon()
        await eventually(lambda: gateway.gateway.snapshot.config.log.level == "error", WITHIN)
        gateway.gateway.log.info("not_heard")
        gateway.gateway.log.error("heard", of="this")
        await eventually(lambda: "heard of=this" in gateway.log.getvalue())
        assert "not_heard" not in gateway.log.getvalue()


# --- authenticators and their keys


async def test_keys_in_a_file_are_replaced_and_tokens_of_the_old_ones_are_refused(tmp_path: Path, quick: None) -> None:
    new = make_key("EdDSA", "k2")
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/api/x", bearer=token()))).status == 200
        replace(tmp_path / "keys.json", jwks(new))
        event = await gateway.noticed("config_reloaded")
        assert event["changed"] == [str(tmp_path / "keys.json")]
        assert (await client.ask(get("/api/x", bearer=token()))).status == 401


async def test_an_hmac_secret_is_replaced(tmp_path: Path, quick: None) -> None:
    # Text: of random bytes, one in 128 ends with a line break, which is no part of a secret in a file.
    first, second = (SigningKey("HS256", "h", secrets.token_hex(32).encode()) for _ in range(2))
    settings = {k: v for k, v in ISSUER.items() if k != "jwks_file"} | {
        "secret_file": "secret",
        "algorithms": ["HS256"],
    }
    (tmp_path / "secret").write_bytes(first.private)
    async with (
        upstream() as app,
        reloading(tmp_path, "", app.url, authenticators={"issuer": settings}) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(get("/api/x", bearer=first.sign(access_claims())))).status == 200
        replace(tmp_path / "secret", second.private)
        await gateway.noticed("config_reloaded")
        assert (await client.ask(get("/api/x", bearer=first.sign(access_claims())))).status == 401
        assert (await client.ask(get("/api/x", bearer=second.sign(access_claims())))).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"audiences": ["https://other.example"]},
        {"typ": ["JWT"]},
        {"required_claims": ["iat", "department"]},
        {"max_lifetime": 10},
        {"algorithms": ["RS256"]},
        {"issuer": "https://other.example"},
    ],
)
async def test_a_token_remembered_under_other_settings_is_verified_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    """The class of advisories in which the key of a cache lacks a dimension."""
    key = make_key("RS256", "r1") if "algorithms" in change else None
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        if key is not None:
            (tmp_path / "keys.json").write_bytes(jwks(KEY, key))
            await gateway.ask()
        assert (await client.ask(get("/api/x", bearer=token()))).status == 200
        await gateway.change(authenticators={"issuer": {**ISSUER, **change}})
        assert (await client.ask(get("/api/x", bearer=token()))).status == 401


async def test_an_authenticator_that_stays_the_same_keeps_what_it_remembers(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.ask(get("/api/x", bearer=token()))
        before = gateway.gateway.snapshot.authenticators["issuer"]
        await gateway.change("realm: other")
        assert gateway.gateway.snapshot.authenticators["issuer"] is before
        await client.ask(get("/api/x", bearer=token()))
        assert (before.cache.hits, before.cache.misses) == (1, 1)


async def test_published_keys_outlive_a_change_of_other_settings_while_the_issuer_is_away(tmp_path: Path) -> None:
    document = jwks(KEY)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(document)
    remote = {k: v for k, v in ISSUER.items() if k != "jwks_file"}
    async with upstream() as app:
        async with upstream(answering(head + document)) as issuer:
            remote["jwks_uri"] = f"{issuer.url}/jwks"
            sections: dict[str, Any] = {"insecure": ["http_issuer"]}
            gateway = await (
                context := reloading(tmp_path, "", app.url, authenticators={"issuer": remote}, **sections)
            ).__aenter__()
            assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 200
        try:
            await gateway.change(authenticators={"issuer": {**remote, "leeway": 7}}, **sections)
            assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 200
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert "keys of issuer" in names
            await gateway.change(authenticators={"issuer": ISSUER})
            await eventually(lambda: "keys of issuer" not in {task.get_name() for task in asyncio.all_tasks()})
        finally:
            await context.__aexit__(None, None, None)


# --- upstreams


async def test_a_request_under_way_is_answered_by_the_upstream_it_began_with(tmp_path: Path) -> None:
    gate = Gate()
    async with upstream(gate.script) as old, upstream() as new, reloading(tmp_path, "", old.url) as gateway:
        async with connected(gateway.port) as busy, connected(gateway.port) as other:
            await busy.send(get("/open/slow"))
            await eventually(lambda: old.requests)
            await gateway.change("", new.url)
            assert (await other.ask(get("/open/x"))).status == 200
            gate.open.set()
            assert (await busy.answer()).body == b"ok"
            assert (await busy.ask(get("/open/y"))).status == 200
        assert [each.target for each in old.requests] == ["/open/slow"]
        assert [each.target for each in new.requests] == ["/open/x", "/open/y"]
        await eventually(lambda: old.gone)


async def test_a_request_that_waits_for_keys_goes_on_with_the_upstream_it_began_with(tmp_path: Path) -> None:
    gate, document = asyncio.Event(), jwks(KEY)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(document)

    async def slow(wire: UpstreamWire) -> None:
        await wire.request()
        await gate.wait()
        await wire.send(head + document)

    async with upstream() as old, upstream() as new, upstream(slow) as issuer:
        remote = {k: v for k, v in ISSUER.items() if k != "jwks_file"} | {"jwks_uri": f"{issuer.url}/jwks"}
        sections: dict[str, Any] = {"insecure": ["http_issuer"], "authenticators": {"issuer": remote}}
        async with reloading(tmp_path, "", old.url, **sections) as gateway, connected(gateway.port) as client:
            await client.send(get("/api/x", bearer=token()))
            await eventually(lambda: any(each.relay for each in gateway.gateway.plane.connections))
            await gateway.change("", new.url, **sections)
            gate.set()
            assert (await client.answer()).status == 200
            assert (await client.ask(get("/api/y", bearer=token()))).status == 200
        assert [each.target for each in old.requests] == ["/api/x"]
        assert [each.target for each in new.requests] == ["/api/y"]


async def test_a_pool_that_stays_the_same_keeps_its_connections(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.ask(get("/open/x"))
        await gateway.change("realm: other")
        await client.ask(get("/open/x"))
        assert app.connections == 1


async def test_the_connections_of_an_upstream_that_is_removed_are_closed(tmp_path: Path) -> None:
    async with upstream() as app, upstream() as other, reloading(tmp_path, "", app.url) as gateway:
        upstreams = {"app": {"targets": [app.url]}, "other": {"targets": [other.url]}}
        await gateway.change(
            upstreams=upstreams, routes=[OPEN, {**OPEN, "id": "b", "match": {"path": "/b"}, "upstream": "other"}]
        )
        await ask(gateway.port, get("/b"))
        await gateway.change()
        await eventually(lambda: other.gone)


async def test_the_authorities_of_an_upstream_are_replaced(tmp_path: Path, quick: None) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = make_authority(tmp_path / "old"), make_authority(tmp_path / "new")
    (tmp_path / "ca.pem").write_bytes(old.file.read_bytes())
    async with upstream(tls=new.server()) as app:
        settings = {"targets": [app.url], "tls": {"ca": "ca.pem", "server_name": "localhost"}}
        async with reloading(tmp_path, upstreams={"app": settings}) as gateway:
            assert (await ask(gateway.port, get("/open/x"))).status == 502
            replace(tmp_path / "ca.pem", new.file.read_bytes())
            await gateway.noticed("config_reloaded")
            assert (await ask(gateway.port, get("/open/x"))).status == 200


# --- certificates of listeners


async def test_a_route_that_was_taken_out_goes_on_counting_when_it_is_back(tmp_path: Path) -> None:
    """A counter that began anew would look like a restart."""
    without = "routes: [{id: other, match: {path: /other}, upstream: app, access: public}]"
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        async with connected(gateway.port) as client:
            assert (await client.ask(get("/open/x"))).status == 200
            await gateway.change(without)
            assert (await client.ask(get("/open/x"))).status == 404
            assert gateway.decisions("open") == {"allow": 1}
            await gateway.change("")
            assert (await client.ask(get("/open/x"))).status == 200
        assert gateway.metric('gateway_decisions_total{reason="allow",route="open"}') == 2


async def serial_of(port: int, tls: ssl.SSLContext) -> int:
    async with connected(port, tls) as client:
        certificate = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert (await client.ask(get("/open/x"))).status == 200
    return x509.load_der_x509_certificate(certificate).serial_number


def tls_listener(**more: str) -> list[dict[str, Any]]:
    return [{"address": "127.0.0.1:0", "tls": {"certificate": "tls.pem", "key": "tls.key", **more}}]


async def test_a_certificate_is_replaced_for_new_connections_and_open_ones_stay(tmp_path: Path, quick: None) -> None:
    authority = make_authority(tmp_path)

    def install() -> int:
        certificate, key = authority.issue("localhost")
        replace(tmp_path / "tls.key", key.read_bytes())
        replace(tmp_path / "tls.pem", certificate.read_bytes())
        return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number

    first = install()
    async with upstream() as app, reloading(tmp_path, "", app.url, listen=tls_listener()) as gateway:
        async with connected(gateway.port, authority.client()) as client:
            assert (await client.ask(get("/open/x"))).status == 200
            assert await serial_of(gateway.port, authority.client()) == first
            second = install()
            await gateway.noticed("config_reloaded")
            assert await serial_of(gateway.port, authority.client()) == second
            assert (await client.ask(get("/open/x"))).status == 200
        name = 'gateway_certificate_expiry_timestamp_seconds{listener="127.0.0.1:0"}'
        assert gateway.metric(name) > 1_700_000_000


async def test_half_a_pair_of_certificate_and_key_is_told_and_the_last_good_one_serves(
    tmp_path: Path, quick: None
) -> None:
    authority = make_authority(tmp_path)
    pairs = []
    for _ in range(2):
        certificate, key = authority.issue("localhost")
        pairs.append((certificate.read_bytes(), key.read_bytes()))
    (tmp_path / "tls.pem").write_bytes(pairs[0][0])
    (tmp_path / "tls.key").write_bytes(pairs[0][1])
    serials = [x509.load_pem_x509_certificate(pair[0]).serial_number for pair in pairs]
    async with upstream() as app, reloading(tmp_path, "", app.url, listen=tls_listener()) as gateway:
        replace(tmp_path / "tls.pem", pairs[1][0])
        event = await gateway.noticed("config_rejected")
        assert event["mistakes"][0].endswith("listen[0].tls: tls.key is not the key of tls.pem")
        assert gateway.metric("gateway_config_last_reload_successful") == 0
        assert await serial_of(gateway.port, authority.client()) == serials[0]
        replace(tmp_path / "tls.key", pairs[1][1])
        event = await gateway.noticed("config_reloaded")
        assert event["changed"] == [str(tmp_path / "tls.key"), str(tmp_path / "tls.pem")]
        assert await serial_of(gateway.port, authority.client()) == serials[1]
        assert gateway.metric("gateway_config_last_reload_successful") == 1
        assert gateway.metric('gateway_config_reloads_total{result="failed"}') == 1


async def test_the_oldest_version_of_tls_changes_for_new_connections(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    replace(tmp_path / "tls.pem", certificate.read_bytes())
    replace(tmp_path / "tls.key", key.read_bytes())
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with upstream() as app, reloading(tmp_path, "", app.url, listen=tls_listener()) as gateway:
        await serial_of(gateway.port, old)
        await gateway.change(listen=tls_listener(min_version="1.3"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serial_of(gateway.port, old)
        await serial_of(gateway.port, authority.client())


@asynccontextmanager
async def clients_of_another(
    directory: Path,
) -> AsyncIterator[tuple[ssl.SSLContext, list[dict[str, Any]], Callable[[], None]]]:
    """Give the TLS of a client, listeners that trust its authority, and what makes them trust another one instead."""
    authority = make_authority(directory)
    (directory / "a").mkdir()
    (directory / "b").mkdir()
    old, new = make_authority(directory / "a", "old"), make_authority(directory / "b", "new")
    certificate, key = authority.issue("localhost")
    replace(directory / "tls.pem", certificate.read_bytes())
    replace(directory / "tls.key", key.read_bytes())
    (directory / "clients.pem").write_bytes(old.file.read_bytes())
    tls = authority.client()
    tls.load_cert_chain(*old.issue("client"))
    yield tls, tls_listener(client_ca="clients.pem"), lambda: replace(directory / "clients.pem", new.file.read_bytes())


async def test_clients_of_an_authority_that_is_trusted_no_more_must_leave(tmp_path: Path) -> None:
    async with (
        clients_of_another(tmp_path) as (tls, listen, distrust),
        upstream() as app,
        reloading(tmp_path, "", app.url, listen=listen) as gateway,
    ):
        async with connected(gateway.port, tls) as client:
            assert (await client.ask(get("/open/x"))).status == 200
            distrust()
            assert (await gateway.ask())["event"] == "config_reloaded"
            assert await client.closed(WITHIN) == b""
        with pytest.raises((ssl.SSLError, ConnectionError, Cut)):
            await serial_of(gateway.port, tls)


async def test_clients_of_an_authority_that_is_trusted_no_more_must_leave_however_busy_they_are(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        clients_of_another(tmp_path) as (tls, listen, distrust),
        upstream(gate.script) as app,
        reloading(tmp_path, "", app.url, listen=listen) as gateway,
        connected(gateway.port, tls) as client,
    ):
        await client.send(3 * get("/open/x"))
        await eventually(lambda: app.requests, WITHIN)
        distrust()
        assert (await gateway.ask())["event"] == "config_reloaded"
        gate.open.set()
        assert (await client.answer()).one("Connection") == "close"
        assert await client.closed(WITHIN) == b""
        assert len(app.requests) == 1


async def test_a_handshake_that_began_under_other_authorities_is_good_for_one_answer(tmp_path: Path) -> None:
    async with (
        clients_of_another(tmp_path) as (tls, listen, distrust),
        upstream() as app,
        reloading(tmp_path, "", app.url, listen=listen) as gateway,
    ):
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = tls.wrap_bio(ours, theirs, server_hostname="localhost")
        async with connected(gateway.port) as client:

            async def do(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        await client.send(theirs.read())
                        ours.write(await client.reader.read(65536) or pytest.fail("closed"))

            with pytest.raises(ssl.SSLWantReadError):
                ends.do_handshake()
            await client.send(theirs.read())
            ours.write(await client.reader.read(65536))
            distrust()
            assert (await gateway.ask())["event"] == "config_reloaded"
            await do(ends.do_handshake)
            ends.write(get("/open/x"))
            assert b"\r\nConnection: close\r\n" in await do(lambda: ends.read(65536))
            await client.closed(WITHIN)


# --- what has no end of its own

HELLO = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


async def echo(wire: UpstreamWire) -> None:
    await wire.head()
    await wire.send(HELLO)
    while data := await wire.reader.read(100):
        await wire.send(data)


async def upgraded(client: Client, path: str = "/api/x", **claims: Any) -> None:
    await client.send(get(path, *UPGRADE, bearer=token(**claims)))
    assert (await client.head()).status == 101


async def echoes(client: Client) -> bool:
    await client.send(b"ping")
    return await client.exactly(4) == b"ping"


async def test_a_websocket_goes_on_when_its_upstream_and_the_settings_of_its_issuer_change(tmp_path: Path) -> None:
    async with (
        upstream(echo) as old,
        upstream() as new,
        reloading(tmp_path, "", old.url) as gateway,
        connected(gateway.port) as client,
    ):
        await upgraded(client)
        await gateway.change("", new.url, authenticators={"issuer": {**ISSUER, "leeway": 7}})
        assert await echoes(client)


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"routes": [OPEN]}, "no_route"),
        ({"routes": [{**ROUTE, "require": [{"scopes": ["admin"]}]}]}, "insufficient_scope"),
        ({"authenticators": {"issuer": {**ISSUER, "issuer": "https://other.example"}}}, "wrong_issuer"),
        ({"routes": [{**ROUTE, "upgrades": []}]}, "no_route"),
    ],
    ids=["the route is gone", "it asks for more", "the issuer is accepted no more", "it takes no websockets any more"],
)
async def test_a_websocket_ends_when_the_new_rules_would_not_have_let_it_in(
    tmp_path: Path, sections: dict[str, Any], reason: str
) -> None:
    async with upstream(echo) as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await upgraded(client)
        assert await echoes(client)
        await gateway.change(**sections)
        assert await client.closed(WITHIN) == b""
        assert gateway.decisions("api") == {reason: 1}


@pytest.mark.parametrize("is_upgrade", [True, False], ids=["websocket", "stream"])
async def test_what_turns_out_to_have_no_end_after_the_reload_is_judged_too(tmp_path: Path, is_upgrade: bool) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def late(wire: UpstreamWire) -> None:
        await wire.head()
        asked.set()
        await answered.wait()
        await wire.send(HELLO if is_upgrade else b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await wire.closed(60)

    async with upstream(late) as app, reloading(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/api/x", *(UPGRADE if is_upgrade else ()), bearer=token()))
        await asked.wait()
        await gateway.change(routes=[OPEN])
        answered.set()
        await client.head()
        await client.closed(WITHIN)
        assert gateway.decisions("api") == {"no_route": 1}


async def test_a_websocket_whose_login_has_grown_too_old_meanwhile_is_judged_as_of_its_beginning(
    tmp_path: Path,
) -> None:
    fresh = [{**ROUTE, "require": [{"max_age": "5m"}]}]
    async with (
        upstream(echo) as app,
        reloading(tmp_path, "", app.url, routes=fresh) as gateway,
        connected(gateway.port) as client,
    ):
        await upgraded(client, auth_time=NOW - 299)
        [connection] = gateway.gateway.plane.connections
        assert connection.relay is not None
        gateway.clock.now += 10
        connection.relay.started_at -= 10
        await gateway.change("realm: other", routes=fresh)
        assert await echoes(client)


async def test_a_stream_of_events_ends_when_its_route_is_gone_and_a_download_is_finished(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def script(wire: UpstreamWire) -> None:
        head = await wire.request()
        if head.target.endswith("events"):
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            await wire.closed()
        else:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            await more.wait()
            await wire.send(b"cd")

    async with (
        upstream(script) as app,
        reloading(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as events,
        connected(gateway.port) as download,
    ):
        await events.send(get("/api/events", bearer=token()))
        await events.head()
        await download.send(get("/api/file", bearer=token()))
        head = await download.head()
        await gateway.change(routes=[OPEN])
        assert not (await events.closed(WITHIN)).endswith(b"0\r\n\r\n")
        more.set()
        assert await download.body(head, to_the_end=False) == b"abcd"


# --- refused, rejected, retried


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"listen": [{"address": "127.0.0.1:1"}]}, ["listen[0].address: 127.0.0.1:1 is added by a restart"]),
        ({"listen": tls_listener()}, ["listen[0]: TLS is added by a restart"]),
        ({"ops": {"address": "127.0.0.1:1"}}, ["ops: ops is added by a restart"]),
        ({"state": {"url": "sqlite:state.db"}}, ["state: another store is used after a restart"]),
        ({"workers": 2, "realm": "other"}, ["workers: the number of processes is changed by a restart"]),
    ],
)
async def test_what_needs_a_restart_is_refused_by_name_and_nothing_else_is_changed(
    tmp_path: Path, sections: dict[str, Any], told: list[str]
) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    replace(tmp_path / "tls.pem", certificate.read_bytes())
    replace(tmp_path / "tls.key", key.read_bytes())
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        before = gateway.gateway.snapshot
        gateway.write(**sections)
        event = await gateway.ask()
        assert (event["event"], event["level"]) == ("config_refused", "error")
        shown = [each.partition(": ")[2] for each in event["settings"]]
        assert all(any(each.startswith(start) for each in shown) for start in told), event
        assert gateway.gateway.snapshot is before
        assert gateway.metric("gateway_config_last_reload_successful") == 0
        assert gateway.metric('gateway_config_reloads_total{result="refused"}') == 1


async def test_every_mistake_is_told_with_its_line_and_the_old_configuration_stays(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        text = (
            whole("", app.url)
            .decode()
            .replace('"access": "public"', '"access": "pubic"')
            .replace('"keys.json"', '"gone.json"')
        )
        replace(gateway.file, text.encode())
        event = await gateway.ask()
        assert (event["event"], event["level"]) == ("config_rejected", "error")
        assert all(each.startswith(f"{gateway.file}:1: ") for each in event["mistakes"])
        assert {each.split(": ")[1] for each in event["mistakes"]} == {
            "routes[0].access",
            "authenticators.issuer.jwks_file",
        }
        assert (await ask(gateway.port, get("/open/x"))).status == 200


@pytest.mark.parametrize("content", [b"", b"routes: [", b"\xff\xfe", b"{}", None], ids=repr)
async def test_a_broken_file_changes_nothing_and_a_good_one_is_taken_again(
    tmp_path: Path, quick: None, content: bytes | None
) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        if content is None:
            gateway.file.unlink()
        else:
            gateway.file.write_bytes(content)
        await gateway.noticed("config_rejected")
        assert (await ask(gateway.port, get("/open/x"))).status == 200
        gateway.write(routes=[ROUTE])
        await gateway.noticed("config_reloaded")
        assert (await ask(gateway.port, get("/open/x"))).status == 404
        assert len(gateway.events("config_rejected")) == 1


@pytest.mark.parametrize("content", [b"", b'{"keys": [', None], ids=repr)
async def test_a_broken_key_file_keeps_the_last_good_keys(tmp_path: Path, quick: None, content: bytes | None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        if content is None:
            (tmp_path / "keys.json").unlink()
        else:
            (tmp_path / "keys.json").write_bytes(content)
        event = await gateway.noticed("config_rejected")
        assert "keys.json" in event["mistakes"][0] or "jwks_file" in event["mistakes"][0]
        assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 200


async def test_a_file_that_was_lacking_is_awaited(tmp_path: Path, quick: None) -> None:
    key = make_key("EdDSA", "k2")
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        gateway.write(authenticators={"issuer": {**ISSUER, "jwks_file": "later.json"}})
        await gateway.noticed("config_rejected")
        (tmp_path / "later.json").write_bytes(jwks(key))
        await gateway.noticed("config_reloaded")
        assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 401


async def test_several_broken_files_are_told_once(tmp_path: Path, quick: None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        replace(tmp_path / "keys.json", b"{")
        replace(gateway.file, b"routes: [")
        await gateway.noticed("config_rejected")
        await asyncio.sleep(0.5)
        assert len(gateway.events("config_rejected")) == 1


async def test_a_change_that_is_taken_back_at_once_is_none(tmp_path: Path, quick: None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        before = gateway.gateway.snapshot
        content = gateway.file.read_bytes()
        gateway.file.write_bytes(b"routes: [")
        gateway.file.write_bytes(content)
        os.utime(gateway.file)
        assert (await gateway.ask())["event"] == "config_unchanged"
        assert gateway.gateway.snapshot is before
        assert not gateway.events("config_rejected", "config_reloaded")


async def test_when_what_was_wrong_is_taken_back_all_is_well_again(tmp_path: Path, quick: None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        content = gateway.file.read_bytes()
        replace(gateway.file, b"routes: [")
        await gateway.noticed("config_rejected")
        assert gateway.metric("gateway_config_last_reload_successful") == 0
        replace(gateway.file, content)
        await eventually(lambda: gateway.metric("gateway_config_last_reload_successful") == 1, WITHIN)


async def test_a_pipe_in_place_of_a_file_does_not_stop_the_watch(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.mechanisms.files.PATIENCE", 0.1)
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        file = tmp_path / "keys.json"
        content = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        assert "no end of it" in (await gateway.noticed("config_rejected"))["mistakes"][0]
        replace(file, content)
        gateway.write(routes=[OPEN])
        await gateway.noticed("config_reloaded")


async def test_two_changes_in_a_row_end_with_the_last(tmp_path: Path, quick: None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gateway:
        for number in range(10):
            gateway.write(f"realm: r{number}")
            await asyncio.sleep(0.01)
        await eventually(lambda: gateway.gateway.snapshot.config.realm == "r9", WITHIN)


async def test_kubernetes_swaps_a_whole_directory(tmp_path: Path, quick: None) -> None:
    def mount(name: str, realm: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_bytes(whole(f"realm: {realm}", app.url))
        (tmp_path / name / "keys.json").write_bytes(jwks(KEY))
        (tmp_path / "..new").symlink_to(name)
        os.replace(tmp_path / "..new", tmp_path / "..data")

    async with upstream() as app:
        mount("..1", "first")
        for name in ("gateway.yaml", "keys.json"):
            (tmp_path / name).symlink_to(f"..data/{name}")
        async with reloading(tmp_path, "", app.url) as gateway:
            mount("..2", "second")
            for file in (tmp_path / "..1").iterdir():
                file.unlink()
            await gateway.noticed("config_reloaded")
            assert gateway.gateway.snapshot.config.realm == "second"


async def test_with_signal_nothing_is_read_before_somebody_asks(tmp_path: Path, quick: None) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url, reload="signal") as gateway:
        gateway.write(reload="signal", routes=[ROUTE])
        await asyncio.sleep(0.3)
        assert (await ask(gateway.port, get("/open/x"))).status == 200
        assert (await gateway.ask())["event"] == "config_reloaded"
        assert (await ask(gateway.port, get("/open/x"))).status == 404


async def test_what_the_environment_says_is_what_it_said_at_the_start(tmp_path: Path) -> None:
    async with upstream() as app:
        (tmp_path / "gateway.yaml").write_bytes(whole("", app.url, realm="${REALM}"))
        async with reloading(tmp_path, "", app.url, environment={"REALM": "from outside"}) as gateway:
            assert (await gateway.ask())["event"] == "config_unchanged"
            await gateway.change(realm="${REALM} and in", routes=[ROUTE])
            answer = await ask(gateway.port, get("/api/x"))
            assert 'realm="from outside and in"' in (answer.one("WWW-Authenticate") or "")


async def test_an_edit_between_the_start_and_the_first_look_is_not_missed(tmp_path: Path, quick: None) -> None:
    async with upstream() as app:
        (tmp_path / "gateway.yaml").write_bytes(whole("", app.url))
        async with reloading(tmp_path, "", app.url) as gateway:
            await asyncio.sleep(0)
            gateway.write("realm: other")
            await eventually(lambda: gateway.gateway.snapshot.config.realm == "other", WITHIN)


# --- under load


async def test_no_request_is_lost_or_misjudged_during_fifty_swaps(tmp_path: Path) -> None:
    """Upstream, authenticator and realm change each time; who may pass never does."""
    statuses: dict[str, set[int]] = {"always": set(), "never": set(), "open": set()}
    asked = 0

    async def hammer(name: str, data: bytes) -> None:
        nonlocal asked
        while True:
            async with connected(gateway.port) as client:
                for _ in range(20):
                    statuses[name].add((await client.ask(data)).status)
                    asked += 1
                    await asyncio.sleep(0)

    post = request("POST", "/open/x", body=b"body")
    routes = [{**ROUTE, "require": [{"scopes": ["a"]}]}, OPEN]
    async with upstream() as first, upstream() as second, reloading(tmp_path, "", first.url, routes=routes) as gateway:
        async with steadily(
            hammer("always", get("/api/x", bearer=token(scope="a"))),
            hammer("always", get("/api/x", bearer=token(scope="a b"))),
            hammer("never", get("/api/x", bearer=token(scope="c"))),
            hammer("never", get("/api/x", bearer=make_key("EdDSA", "k1").sign({"sub": "x"}))),
            hammer("open", post),
        ):
            for number in range(50):
                target = (first, second)[number % 2].url
                issuer = {**ISSUER, "leeway": number % 3}
                upstreams = {"app": {"targets": [target]}}
                await gateway.change(
                    f"realm: r{number}",
                    routes=routes,
                    authenticators={"issuer": issuer},
                    upstreams=upstreams,
                )
            before = asked
            await eventually(lambda: asked > before + 20, WITHIN)
        assert statuses["always"] == {200}
        assert statuses["open"] == {200}
        assert statuses["never"] <= {401, 403}
        assert asked > 100
        assert json.loads(gateway.log.getvalue().splitlines()[-1])["event"] == "config_reloaded"
        await eventually(lambda: gateway.pool()["busy"] == 0)
