"""What Traefik's authentication and the authentik outpost were broken by, tried here: docs/security.md."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.compile import CompileMistakes
from tests.issuing import Issuer
from tests.trips.attacking import Target, attacked, lines_of
from tests.trips.running import KEY, get, request, running, token
from tests.trips.session_running import PASSWORD, json_of, payload_of, preset, serving
from tests.trips.test_advisories_envoy import remote
from tests.trips.test_advisories_pomerium import ADMIN
from tests.trips.wire import OK, UpstreamWire, connected, upstream

JUDGEMENT = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-ID")


@JUDGEMENT
@pytest.mark.parametrize("name", [*FORWARDED, "X-Forwarded-Port", "X-Real-Ip"])
async def test_cve_2024_45410_no_connection_header_removes_what_the_gateway_tells(target: Target, name: str) -> None:
    seen = await target.passes(get("/api/x", f"Connection: close, {name}", f"{name}: 10.0.0.1", bearer=token()))
    assert all(len(seen.all(each)) == 1 for each in FORWARDED)
    assert seen.one("X-Forwarded-For") == "127.0.0.1"


@JUDGEMENT
@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "X-FORWARDED-PROTO", "x_forwarded_host", "X-Forwarded-For\t", "x-user-id"]
)
async def test_cve_2026_29054_in_no_spelling_either(target: Target, name: str) -> None:
    lines = [f"Connection: {name}", f"connection: close,{name} , X-Request-Id", "X-Real-Ip: 10.0.0.1"]
    seen = await target.passes(get("/api/x", *lines, bearer=token()))
    assert all(len(seen.all(each)) == 1 for each in FORWARDED)
    assert (seen.one("X-User-Id"), seen.all("X-Real-Ip")) == ("alice", [])


async def strips(target: Target, *spoofs: str) -> None:
    """Send forwarding headers as a stranger, on every kind of route: none of their values arrives."""
    for path, bearer in (("/public/x", None), ("/maybe/x", None), ("/api/x", token())):
        seen = await target.passes(get(path, *(f"{name}: evil.example" for name in spoofs), bearer=bearer))
        assert "evil.example" not in [value for _, value in seen.headers]


@JUDGEMENT
async def test_cve_2026_35051_a_stranger_sets_no_prefix(target: Target) -> None:
    await strips(target, "X-Forwarded-Prefix", "x-forwarded-prefix", "X-Forwarded-Path", "X-Forwarded-Uri")


@JUDGEMENT
async def test_cve_2026_54764_a_stranger_sets_no_port(target: Target) -> None:
    await strips(target, "X-Forwarded-Port", "X-FORWARDED-PORT", "X-Forwarded-Server", "X-Forwarded-Method")


@JUDGEMENT
async def test_cve_2026_39858_nor_anything_by_another_spelling(target: Target) -> None:
    await strips(target, "X_Forwarded_Proto", "X_Forwarded_Host", "X.Forwarded.For", "X-Forwarded_Prefix", "X_Real_IP")


@JUDGEMENT
@pytest.mark.parametrize("configured", ["x-user-ID", "X-USER-ID", "x-uSER-id"])
async def test_cve_2026_33433_the_spelling_in_the_configuration_does_not_matter(
    tmp_path: Path, configured: str
) -> None:
    async with attacked(tmp_path, f"inject: [{{header: {configured}, claim: sub}}]") as target:
        for sent in ("X-User-Id", "x-user-id", "X_USER_ID", configured):
            for path, bearer in (("/api/x", token()), ("/public/x", None)):
                seen = await target.passes(get(path, f"{sent}: root", bearer=bearer))
                assert "root" not in [value for _, value in seen.headers]
                assert lines_of(seen).count("X_USER_ID") == (bearer is not None)


@JUDGEMENT
async def test_cve_2026_54763_no_alias_of_an_identity_stands_beside_it(target: Target) -> None:
    aliases = ("X_User_Id", "X_User-Id", "X-User_Id", "X.User.Id", "X!User!Id", "x`user`id", "X|User~Id", "X*User'Id")
    for path, bearer in (("/api/x", token()), ("/maybe/x", None), ("/public/x", None)):
        seen = await target.passes(get(path, *(f"{name}: root" for name in aliases), bearer=bearer))
        assert lines_of(seen).count("X_USER_ID") == (bearer is not None)


async def test_cve_2026_71326_who_waits_for_the_same_thing_stays_who_he_is(tmp_path: Path) -> None:
    """Many requests share one key fetch, and many logins one queue: each gets its own identity."""
    issuer = Issuer(KEY)
    issuer.gate.clear()
    async with issuer.running(), attacked(tmp_path, remote(issuer.jwks_uri)) as target:
        names = [f"{name}{number}" for number in range(10) for name in ("a", "b:a", "a:b")]
        asked = [target.ask(get(f"/api/{name}", bearer=token(sub=name, jti="same"))) for name in names]
        waiting = asyncio.gather(*asked, target.ask(get("/api/junk", bearer=token()[:-5] + "AAAAA")))
        await asyncio.sleep(0.05)
        issuer.gate.set()
        assert [answer.status for answer in await waiting] == [200] * len(names) + [401]
        assert {seen.target: seen.one("X-User-Id") for seen in target.app.requests} == {f"/api/{n}": n for n in names}
        assert issuer.requests == ["/jwks"]


@JUDGEMENT
async def test_cve_2026_71326_logins_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        told = (("alice", PASSWORD), ("bob", PASSWORD), ("bob", f"{PASSWORD}x"), ("alic", f"e{PASSWORD}"))
        attempts = [gate.post("/auth/login", {"username": name, "password": password}) for name, password in told]
        answers = await asyncio.gather(*attempts)
        assert [answer.status for answer in answers] == [200, 200, 401, 401]
        for place, name in ((0, "alice"), (1, "bob")):
            assert payload_of(json_of(answers[place])["access_token"])["sub"] == name


@JUDGEMENT
async def test_cve_2026_26998_no_answer_is_read_without_bound(tmp_path: Path) -> None:
    """A key set and a login backend that never stop: they are left, and what they would have said is unknown."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            sent += 65536
            await response.write(b" " * 65536)
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endless)
    async with TestServer(app) as server:
        async with attacked(tmp_path, remote(str(server.make_url("/jwks")))) as target:
            await target.refuses(get("/api/x", bearer=token()), 503)
        (sessions := tmp_path / "sessions").mkdir()
        async with serving(sessions, preset("seed2"), LOGIN_URL=str(server.make_url("/login"))) as gate:
            assert (await gate.try_login()).status == 503
    assert sent < 40 * 2**20


@JUDGEMENT
async def test_cve_2026_41181_a_failure_carries_no_credentials_elsewhere(tmp_path: Path) -> None:
    """There is no error page of another service: the gateway answers itself, and asks nobody else."""
    text = """
    {"app": {"targets": ["http://127.0.0.1:9"]}, "errors": {"targets": ["%s"]}}
    """

    async def broken(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(b"nonsense\r\n\r\n")

    async with upstream() as other, upstream(broken) as bad:
        upstreams = text % other.url
        async with attacked(tmp_path, f"upstreams: {upstreams}") as target:
            secret = token()
            answer = await target.refuses(get("/api/x", "Cookie: theme=secret", bearer=secret), 502)
            assert secret[-20:].encode() not in answer.body
        async with running(tmp_path, "", bad.url) as gateway, connected(gateway.port) as client:
            assert (await client.ask(get("/api/x", "Cookie: a=b", bearer=secret))).status == 502
        assert other.connections == 0


REWRITING = """
routes:
  - {id: v1, match: {path: "/v1/**"}, upstream: app, access: public, rewrite: {replace_prefix: [/v1, /api/public]}}
  - {id: dots, match: {path: "/.well/**"}, upstream: app, access: public, rewrite: {strip_prefix: /.well}}
  - {id: root, match: {path: "/r/**"}, upstream: app, access: public, rewrite: {strip_prefix: /r}}
  - {id: one, match: {path: "/one/{id}"}, upstream: app, access: public, rewrite: {replace_prefix: [/one, /two]}}
  - {id: admin, match: {path: "/admin/**"}, upstream: app}
"""


async def leads_up_nowhere(directory: Path, *paths: str) -> None:
    """Send paths to routes that rewrite: whatever passes has no dot segment, no empty one, and begins where it must."""
    async with attacked(directory, REWRITING) as target:
        assert (await target.passes(get("/v1/x"))).target == "/api/public/x"
        for path in paths:
            before = len(target.app.requests)
            answer = await target.ask(get(path))
            assert answer.status in (200, 400, 404)
            for seen in target.app.requests[before:]:
                segments = seen.target[1:].split("/")
                assert not {".", "..", "admin"} & set(segments)
                assert "" not in segments[:-1]
                assert "%2e" not in seen.target.lower()


@JUDGEMENT
async def test_cve_2026_40912_no_dot_is_left_over_where_a_prefix_is_taken_away(tmp_path: Path) -> None:
    await leads_up_nowhere(
        tmp_path,
        *("/.well/x", "/.well./admin/x", "/.well../admin/x", "/.%77ell/../admin", "/%2ewell./admin", "/r./admin/x"),
        *("/.well/./admin", "/.well/%2e/admin", "/r%2e/admin", "/.well%2f../admin", "/.well", "/.well/"),
    )


@JUDGEMENT
async def test_cve_2026_48020_nor_a_way_up(tmp_path: Path) -> None:
    await leads_up_nowhere(
        tmp_path,
        *("/r/../admin/x", "/r/%2e%2e/admin/x", "/r/x/../../admin", "/r/..%2fadmin", "/r//admin", "/r/%2fadmin/x"),
    )


@JUDGEMENT
async def test_cve_2026_65600_nor_where_it_is_replaced(tmp_path: Path) -> None:
    await leads_up_nowhere(
        tmp_path, *("/v1../admin/x", "/v1/../admin", "/v1.%2e/admin", "/v1%2e%2e/admin", "/v1;/../admin", "/v1x", "/v1")
    )


@JUDGEMENT
async def test_cve_2026_67309_nor_by_a_captured_segment(tmp_path: Path) -> None:
    await leads_up_nowhere(
        tmp_path,
        *("/one/..", "/one/%2e%2e", "/one/.", "/one/..%2f..%2fadmin", "/one/%2e%2e%2fadmin", "/one/", "/one/a%3Fb"),
    )


@JUDGEMENT
async def test_cve_2026_54762_without_its_secrets_the_gateway_does_not_start(tmp_path: Path) -> None:
    own = 'authenticators: {i: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], '
    for setting in (
        "jwks_file: gone.json",
        "pem_file: empty.pem",
        "secret_file: gone.key, algorithms: [HS256]",
        "jwks_file: .",
    ):
        (tmp_path / "empty.pem").write_bytes(b"")
        with pytest.raises(CompileMistakes):
            async with running(tmp_path, f"{own}{setting}}}}}"):
                pass
    for name, content in (("keys.json", b"{}"), ("users", b"\xff\xfe"), ("admin.token", b"short")):
        directory = tmp_path / name.partition(".")[0]
        directory.mkdir()
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
        with pytest.raises(CompileMistakes):
            async with serving(directory, preset("seed0"), changes=ADMIN):
                pass


async def test_cve_2026_54762_without_its_keys_it_knows_nobody(tmp_path: Path) -> None:
    async with attacked(tmp_path, remote("http://127.0.0.1:9/jwks")) as target:
        for path in ("/api/x", "/maybe/x", "/admin/x"):
            await target.refuses(get(path, bearer=token()), 503)
        await target.refuses(get("/api/x"), 401)


async def test_cve_2026_71324_no_connection_in_doubt_serves_anybody_else(tmp_path: Path) -> None:
    """CONNECT is refused. An upstream that answers before it has read a body is not asked again on that connection."""

    async def early(wire: UpstreamWire) -> None:
        head = await wire.head()
        await wire.send(
            b"HTTP/1.1 405 No\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno" if "POST" in head.line else OK
        )
        await wire.head()  # the rest of the body, were it taken for a request
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")

    async with attacked(tmp_path, script=early) as target:
        inner = b"GET /admin/x HTTP/1.1\r\nHost: a\r\nX-User-Id: root\r\n\r\n"
        for method in ("CONNECT", "TRACE"):
            await target.refuses(
                request(method, "api.example:443" if method == "CONNECT" else "/api/x", body=inner), 400
            )
        async with connected(target.port) as attacker, connected(target.port) as victim:
            await attacker.send(request("POST", "/public/x", f"Content-Length: {len(inner) + 100}") + inner)
            assert (await attacker.answer()).status == 405
            assert (await victim.ask(get("/public/mine"))).body == b"ok"
        assert target.app.connections == 2


@JUDGEMENT
async def test_cve_2025_64521_whose_account_is_closed_has_no_session(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        pairs = [await gate.log_in() for _ in range(3)]
        assert (await gate.api(pairs[0]["access_token"])).status == 200
        assert (await gate.admin("DELETE", "/subjects/alice/sessions")).status in (200, 204)
        for pair in pairs:
            assert (await gate.api(pair["access_token"])).status == 401
            assert (await gate.exchange(pair["refresh_token"])).status == 400


@JUDGEMENT
async def test_cve_2025_53942_whose_account_is_gone_cannot_log_in(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        assert (await gate.log_in())["access_token"]
    users = (tmp_path / "users").read_text().splitlines()
    (tmp_path / "users").write_text("\n".join(line for line in users if not line.startswith("alice:")) + "\n")
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        assert (await gate.try_login()).status == 401
        assert (await gate.try_login("bob")).status == 200
