"""What Ory Oathkeeper was broken by, tried here. The list is in docs/security.md."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.minting import access_claims, jwks, make_key
from tests.trips.attacking import Target, as_admin, attacked
from tests.trips.running import KEY, get, token

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


async def test_cve_2026_33494_a_way_up_from_a_public_path(target: Target) -> None:
    for up in (
        "..",
        "%2e%2e",
        ".%2E",
        "%2e.",
        "..%2f",
        "..%5c",
        "..\\",
        "..;",
        "..;a=b",
        "%252e%252e",
        "..%00",
        "%c0%ae.",
    ):
        for path in (f"/public/{up}/admin/x", f"/public/x/{up}/{up}/admin/x", f"/public//{up}/admin/x"):
            await target.refuses(get(path), 400)
    for path in ("//admin/x", "/./admin/x", "/admin//x", "/admin/./x", "/public/x//y", "\\admin\\x", "/admin\\x"):
        await target.refuses(get(path), 400)
    for path in ("/%61dmin/x", "/%61%64%6d%69%6e/x", "/admin/%78"):
        await target.refuses(get(path), 401)
    for path in ("/Admin/x", "/admin%20/x", "/admin%E2%80%8B/x", "/%EF%BD%81dmin/x"):
        await target.refuses(get(path), 404)


@pytest.mark.parametrize("spoof", ["X-Forwarded-Proto: https", "X_Forwarded_Proto: https", "Forwarded: proto=https"])
async def test_cve_2026_33495_a_stranger_does_not_say_by_which_scheme_it_came(target: Target, spoof: str) -> None:
    seen = await target.passes(get("/api/x", spoof, "X-Scheme: https", "X-Forwarded-Ssl: on", bearer=token()))
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert "https" not in [value for _, value in seen.headers]
    assert not any(seen.all(name) for name in ("Forwarded", "X_Forwarded_Proto", "X-Scheme", "X-Forwarded-Ssl"))


@pytest.mark.parametrize("value", ["https, http", "HTTPS ", "javascript", "https\x00", "ht\ttps"])
async def test_cve_2026_33495_nor_does_a_trusted_proxy_say_nonsense(tmp_path: Path, value: str) -> None:
    async with attacked(tmp_path, "trusted_proxies: [127.0.0.1]") as target:
        answered = await target.ask(get("/api/x", f"X-Forwarded-Proto: {value}", bearer=token()))
        assert answered.status in (200, 400)
        assert [seen.one("X-Forwarded-Proto") for seen in target.app.requests] == ["http"] * (answered.status == 200)
        seen = await target.passes(get("/api/x", "X-Forwarded-Proto: https", bearer=token()))
        assert seen.one("X-Forwarded-Proto") == "https"


TWO = """
authenticators:
  first: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json}
  second: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: other.json}
  third: {type: jwt, issuer: "https://gw.example", audiences: ["https://third.example"], jwks_file: keys.json}
routes:
  - {id: first, match: {path: "/first/**"}, upstream: app, authenticators: [first]}
  - {id: second, match: {path: "/second/**"}, upstream: app, authenticators: [second]}
  - {id: third, match: {path: "/third/**"}, upstream: app, authenticators: [third]}
"""


async def test_cve_2026_33496_what_one_authenticator_remembers_is_news_to_the_others(tmp_path: Path) -> None:
    """Same issuer, other keys or another audience: a token remembered on one route proves nothing on the next."""
    other = make_key("EdDSA", "k2")
    (tmp_path / "other.json").write_bytes(jwks(other))
    async with attacked(tmp_path, TWO) as target:
        for signed, route in ((token(), "first"), (other.sign(access_claims()), "second")):
            for _ in range(2):
                assert await target.identity(get(f"/{route}/x", bearer=signed)) == "alice"
                for elsewhere in {"first", "second", "third"} - {route}:
                    await target.refuses(get(f"/{elsewhere}/x", bearer=signed), 401)


async def test_cve_2021_32701_a_remembered_token_still_meets_the_checks_of_each_route(target: Target) -> None:
    reader = KEY.sign(access_claims(scope="orders:read"))
    for _ in range(2):
        assert await target.identity(get("/api/x", bearer=reader)) == "alice"
        for path in ("/admin/x", "/staff/x", "/group/x"):
            await target.refuses(get(path, bearer=reader), 403)
    for path in ("/admin/x", "/staff/x", "/group/x"):
        assert await target.identity(get(path, bearer=as_admin())) == "alice"


@pytest.mark.parametrize(
    "listed",
    [
        ["Connection: close, X-User-Id, X-Email"],
        ["Connection: x-user-id", "connection: X-EMAIL,close"],
        ["Connection: X-User-Id,", "Connection: , X-Email\t,X_User_Id"],
        ['Connection: "X-User-Id", X-Email;q=1, *'],
        ["Keep-Alive: X-User-Id", "Proxy-Connection: X-User-Id, X-Email", "Connection: keep-alive"],
    ],
)
async def test_ghsa_w9mr_28mw_j8hg_no_list_of_hop_by_hop_headers_removes_an_identity(
    target: Target, listed: list[str]
) -> None:
    seen = await target.passes(get("/api/x", *listed, "X-User-Id: root", bearer=token(email="a@b.example")))
    assert (seen.all("X-User-Id"), seen.all("X-Email")) == (["alice"], ["a@b.example"])
    assert seen.all("Connection") == []


@pytest.mark.parametrize("option", ["Authorization", "cookie", "Host", "Content-Length", "Transfer-Encoding", "Origin"])
async def test_ghsa_w9mr_28mw_j8hg_what_a_request_means_cannot_be_taken_from_it(target: Target, option: str) -> None:
    await target.refuses(get("/api/x", f"Connection: close, {option}", bearer=token()), 400)
    await target.refuses(get("/public/x", "Connection: close", f"Connection: {option}"), 400)
