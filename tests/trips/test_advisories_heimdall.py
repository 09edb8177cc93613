"""What heimdall was broken by, tried here. The list is in docs/security.md."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.trips.attacking import Target, as_admin, attacked, hello
from tests.trips.running import get, request, token

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/public/%7Ea/%41", "/public/~a/A"),
        ("/public/a%20b", "/public/a%20b"),
        ("/public/%e2%82%ac", "/public/%E2%82%AC"),
        ("/public/%2d%2E%5f", "/public/-._"),
        ("/public/a|b", "/public/a%7Cb"),
        ("/%70ublic/x?q=%2e%2e/", "/public/x?q=%2e%2e/"),
    ],
)
async def test_cve_2026_42274_what_was_matched_is_what_is_forwarded(target: Target, sent: str, seen: str) -> None:
    assert (await target.passes(get(sent))).target == seen
    admin = sent.replace("/public", "/admin").replace("/%70ublic", "/%61dmin")
    await target.refuses(get(admin), 401)
    assert (await target.passes(get(admin, bearer=as_admin()))).target == seen.replace("/public", "/admin")


SLASHES = """
routes:
  - {id: files, match: {path: "/files/**"}, upstream: app, access: public, encoded_slashes: true}
  - {id: one, match: {path: "/one/{name}"}, upstream: app, access: public, encoded_slashes: true}
  - {id: deep, match: {path: "/one/**"}, upstream: app}
  - {id: plain, match: {path: "/plain/**"}, upstream: app, access: public}
"""


async def test_cve_2026_42272_both_cases_of_an_encoded_slash_are_one(tmp_path: Path) -> None:
    async with attacked(tmp_path, SLASHES) as target:
        for slash in ("%2F", "%2f"):
            assert (await target.passes(get(f"/files/a{slash}b"))).target == "/files/a%2Fb"
            await target.refuses(get(f"/one/b{slash}c"), 400)  # to some the path of another route, which is protected
            await target.refuses(get(f"/plain/a{slash}b", bearer=as_admin()), 400)
            await target.refuses(get(f"/files{slash}a"), 404)
            for up in (f"/files/..{slash}a", f"/files/a{slash}..{slash}..{slash}deep", f"/files/{slash}a"):
                await target.refuses(get(up), 400)
        for slash in ("%5C", "%5c"):
            assert (await target.passes(get(f"/files/a{slash}b"))).target == "/files/a%5Cb"


@pytest.mark.parametrize(
    "host",
    ["internal.example", "INTERNAL.example", "Internal.Example:8443", "internal.example.", "internal.example.:80"],
)
async def test_cve_2026_42273_a_host_is_one_in_whatever_spelling(target: Target, host: str) -> None:
    await target.refuses(hello("/x", host=host), 401)
    await target.refuses(hello("/public/x", host=host), 401)
    assert await target.identity(hello("/x", host=host, bearer=token())) == "alice"


@pytest.mark.parametrize(
    "host",
    ["internal.example:", "internal.example:99999", "internal.example%00", "internal.example\t", "internal。example"],
)
async def test_cve_2026_42273_what_may_be_a_host_or_not_is_refused(target: Target, host: str) -> None:
    sent = hello("/x", host=host) if host.isascii() else hello("/x", host=host.encode().decode("latin-1"))
    answer = await target.ask(sent)
    assert answer.status in (400, 401)
    assert target.app.requests == []


SPOOFS = [
    *("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "Client-IP"),
    *("X_Forwarded_For", "X.Real.IP", "X-Original-For", "X-Original-Forwarded-For", "X-Envoy-External-Address"),
]


@pytest.mark.parametrize("name", SPOOFS)
async def test_cve_2026_57210_a_stranger_does_not_say_from_where_it_comes(target: Target, name: str) -> None:
    seen = await target.passes(get("/api/x", f"{name}: 10.0.0.1", "Forwarded: for=10.0.0.1", bearer=token()))
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert "10.0.0.1" not in str(seen.headers)


async def test_cve_2026_57210_behind_a_proxy_the_last_stranger_counts(tmp_path: Path) -> None:
    async with attacked(tmp_path, "trusted_proxies: [127.0.0.1, 10.0.0.0/8]") as target:
        seen = await target.passes(get("/api/x", "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.1.1.1", bearer=token()))
        assert seen.all("X-Forwarded-For") == ["1.1.1.1, 203.0.113.9, 10.1.1.1, 127.0.0.1"]
        forwarding = target.gateway.gateway.plane.snapshot.forwarding
        assert forwarding.peer("203.0.113.9").is_trusted_proxy is False


@pytest.mark.parametrize(
    "path", ["/admin/Method?/public/x", "/admin/Method?x#", "/public%3F/../admin/x", "/public?/../admin"]
)
async def test_cve_2026_32811_a_query_ends_the_path_of_a_grpc_call_too(target: Target, path: str) -> None:
    grpc = ("Content-Type: application/grpc", "TE: trailers")
    answer = await target.ask(request("POST", path, *grpc, body=b"\x00\x00\x00\x00\x00"))
    if path == "/public?/../admin":
        assert [seen.target for seen in target.app.requests] == [path]
    else:
        assert answer.status in (400, 401, 404)
        assert target.app.requests == []


@pytest.mark.parametrize(
    "host",
    ['a";for="10.0.0.1', "a;proto=https", "a,b", "a b", 'a"', "a=b", "[::1", "a/b", "a?b", "a\\b", "user@a", "<a>"],
)
async def test_ghsa_4jgr_pg2m_m988_no_host_adds_to_forwarded(tmp_path: Path, host: str) -> None:
    async with attacked(tmp_path, "trusted_proxies: [127.0.0.1]") as target:
        await target.refuses(hello("/api/x", "Forwarded: for=192.0.2.1", host=host, bearer=token()), 400)
        seen = await target.passes(hello("/api/x", "Forwarded: for=192.0.2.1", host="API.example", bearer=token()))
        assert seen.one("Forwarded") == 'for=192.0.2.1, for=127.0.0.1;host="api.example";proto=http'
        spoof = get("/api/x", "Forwarded: for=192.0.2.1", f"X-Forwarded-Host: {host}", bearer=token())
        assert (await target.passes(spoof)).one("X-Forwarded-Host") == "api.example"
