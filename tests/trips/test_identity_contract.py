"""Who says who is calling: only the gateway. The identity header contract of decision 0006, attacked from all sides."""

import contextlib
import json
from collections.abc import AsyncIterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.minting import make_key
from tests.trips.attacking import Target, attacked, lines_of
from tests.trips.running import KEY, get, request, running, token
from tests.trips.session_running import OWN_PAGE, SessionGateway, preset, serving, set_cookies
from tests.trips.test_websocket import SWITCH, UPGRADE
from tests.trips.wire import OK, Message, UpstreamWire, answering, ask, connected, upstream

JUDGEMENT = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""

WAYS = (("/api/x", token()), ("/maybe/x", None), ("/maybe/x", token()), ("/public/x", None), ("/static/x", None))
"""A protected route, an optional one without and with a token, a public one, one that rewrites the path."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


def says_nothing_but_the_truth(seen: Message, bearer: str | None) -> None:
    """Check that no header of a request that arrived says `root`, and that just one says who it is."""
    assert not any("root" in value for name, value in seen.headers)
    assert seen.all("X-User-Id") == (["alice"] if bearer else [])
    assert lines_of(seen).count("X_USER_ID") == (bearer is not None)
    assert lines_of(seen).count("X_PRINCIPAL_TYPE") == (bearer is not None)


SPELLINGS = [
    *(
        "X-User-Id",
        "x-user-id",
        "X-USER-ID",
        "X_User_Id",
        "X.User.Id",
        "X-User_Id",
        "x!user!id",
        "X`User`Id",
        "X~User|Id",
    ),
    *("X*User*Id", "X'User'Id", "X#User#Id", "X$User$Id", "X&User&Id", "X+User+Id", "X^User^Id", "X%User%Id"),
    *("X-Principal-Type", "X_Principal_Type", "X-Email", "x_groups", "X-Auth-Degraded", "X_Gateway_Client_Address"),
]


@JUDGEMENT
async def test_no_spelling_passes_on_any_kind_of_route(target: Target) -> None:
    for path, bearer in WAYS:
        seen = await target.passes(get(path, *(f"{name}: root" for name in SPELLINGS), bearer=bearer))
        says_nothing_but_the_truth(seen, bearer)


@JUDGEMENT
async def test_repeated_and_joined_headers_add_nothing(target: Target) -> None:
    for lines in (
        ["X-User-Id: root"] * 5,
        ["X-User-Id: alice, root", "X-User-Id: root"],
        ["X-User-Id:root", "X-User-Id:\troot\t", "X-User-Id:", "X_User_Id: root"],
        ["X-Other: a,X-User-Id: root"[:11], "X-User-Id: root"],
    ):
        for path, bearer in WAYS:
            says_nothing_but_the_truth(await target.passes(get(path, *lines, bearer=bearer)), bearer)


LOOK_ALIKES = [
    *("X-U\u017fer-Id", "X-User\u2010Id", "X\u2011User\u2011Id", "\uff38-User-Id", "X-User-I\u0501", "X-U\u0455er-Id"),
    *("X-User-\u0130d", "X-User-Id\u0301", "X-User-Id\u200b", "\ufeffX-User-Id", "X-User-Id\u00a0", "X\u00adUser-Id"),
]
BROKEN = [
    *(b"X-User-Id ", b"X-User-Id\t", b" X-User-Id", b"X-User-Id\x00", b"X-User-Id\x0b", b"X User Id", b"X-User-Id\r"),
    *(b"X-User\nId", b"(X-User-Id)", b'"X-User-Id"', b"X/User/Id", b"X[User]Id", b"X-User-Id;", b"X@User-Id", b""),
]


@JUDGEMENT
async def test_names_that_are_none_are_refused_whole(target: Target) -> None:
    """Look-alikes in Unicode, white space before the colon, signs that no name has."""
    for name in [*BROKEN, *(each.encode() for each in LOOK_ALIKES), b"X-U\xdfer-Id", b"X-User-Id\xa0"]:
        for path, bearer in WAYS[::3]:
            head = get(path, "X-Mine: a", bearer=bearer)[:-2]
            await target.refuses(head + name + b": root\r\n\r\n", 400)


async def test_a_trailer_is_no_header(target: Target) -> None:
    body = b"2\r\nhi\r\n0\r\nX-User-Id: root\r\nX_User_Id: root\r\nAuthorization: Bearer root\r\n\r\n"
    for path, bearer in WAYS:
        head = request("POST", path, "Transfer-Encoding: chunked", "Trailer: X-User-Id", "TE: trailers", bearer=bearer)
        seen = await target.passes(head + body)
        says_nothing_but_the_truth(seen, bearer)
        assert (seen.body, seen.all("Trailer"), seen.all("TE")) == (b"hi", [], [])


async def test_old_and_pipelined_requests_are_no_exception(target: Target) -> None:
    spoofs = "".join(f"{name}: root\r\n" for name in SPELLINGS)
    for path, bearer in WAYS:
        line = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        old = f"GET {path} HTTP/1.0\r\n{spoofs}{line}\r\n".encode()
        says_nothing_but_the_truth(await target.passes(old), bearer)
    async with connected(target.port) as client:
        before = len(target.app.requests)
        pairs = [(path, bearer) for path, bearer in WAYS for _ in range(2)]
        await client.send(b"".join(get(p, "X-User-Id: root", "x_user_id: root", bearer=b) for p, b in pairs))
        assert [(await client.answer()).status for _ in pairs] == [200] * len(pairs)
        for seen, (_, bearer) in zip(target.app.requests[before:], pairs, strict=True):
            says_nothing_but_the_truth(seen, bearer)


async def test_an_upgrade_is_no_exception(tmp_path: Path) -> None:
    async def switching(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(SWITCH)
        await wire.closed()

    async with attacked(tmp_path, script=switching) as target:
        lines = [line.replace("Upgrade", "Upgrade, X-User-Id, x-email", 1) for line in UPGRADE[:1]] + list(UPGRADE[1:])
        data = get("/api/ws", *lines, *(f"{name}: root" for name in SPELLINGS), bearer=token(email="a@b.example"))
        async with connected(target.port) as client:
            assert (await client.ask(data)).status == 101
        [seen] = target.app.requests
        says_nothing_but_the_truth(seen, token())
        assert (seen.one("X-Email"), seen.one("Upgrade"), seen.one("Connection")) == (
            "a@b.example",
            "websocket",
            "Upgrade",
        )


HTTPBIN = """
inject: [{header: X-User-Id, claim: sub}, {header: X-Email, claim: email}, {header: X-Groups, claim: groups}]
routes:
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public, rewrite: {strip_prefix: /open}}
  - {id: api, match: {path: "/api/**"}, upstream: app, rewrite: {strip_prefix: /api}}
"""


@JUDGEMENT
async def test_a_wsgi_application_sees_one_identity_or_none(tmp_path: Path, httpbin: str) -> None:
    """Its server turns names into variables, and back: `X_User_Id` would be `X-User-Id` to it."""
    more = ("HTTP_X_USER_ID", "X-Original-X-User-Id", "REDIRECT_HTTP_X_USER_ID", "X-User-Id-", "-X-User-Id", "XUserId")
    async with running(tmp_path, HTTPBIN, httpbin) as gateway:
        for path, bearer in (("/open/headers", None), ("/api/headers", token())):
            data = get(path, *(f"{name}: root" for name in (*SPELLINGS, *more)), "Connection: close", bearer=bearer)
            headers: dict[str, str] = json.loads((await ask(gateway.port, data)).body)["headers"]
            assert headers.get("X-User-Id") == ("alice" if bearer else None)
            assert {name for name, value in headers.items() if "root" in value} <= {
                *("Http-X-User-Id", "X-Original-X-User-Id", "Redirect-Http-X-User-Id", "X-User-Id-", "-X-User-Id"),
                "Xuserid",
            }


# --- what claims hold

CLAIMS: list[tuple[Any, list[str]]] = [
    ("a\r\nX-User-Id: root", ["a%0D%0AX-User-Id: root"]),
    ("\x00\x01\x7f", ["%00%01%7F"]),
    ("김\U0001f600 \u2028\u0085", ["%EA%B9%80%F0%9F%98%80 %E2%80%A8%C2%85"]),
    (" lead", ["%20lead"]),
    ("trail\t", ["trail%09"]),
    ("100%", ["100%25"]),
    ("", [""]),
    (1, ["1"]),
    (-1.5e300, ["-1.5e+300"]),
    (True, ["true"]),
    (None, []),
    ([], []),
    (["a", "b,c", "d\r\ne", None, 1, False, {"f": "g,h"}], ['a,b%2Cc,d%0D%0Ae,1,false,{"f":"g%2Ch"}']),
    ({"a": {"b": ["c", None]}}, ['{"a":{"b":["c",null]}}']),
    ("a,root", ["a,root"]),
]


@JUDGEMENT
async def test_a_claim_of_any_kind_is_one_safe_header(target: Target) -> None:
    for claim, values in CLAIMS:
        seen = await target.passes(get("/api/x", "X-Groups: root", bearer=token(groups=claim)))
        assert seen.all("X-Groups") == values
        assert seen.all("X-User-Id") == ["alice"]
        if isinstance(claim, str):
            assert unquote(values[0]) == claim


@JUDGEMENT
async def test_a_list_or_a_template_is_no_way_to_a_value_that_was_not_granted(tmp_path: Path) -> None:
    text = """
inject:
  - {header: X-Roles, claim: roles, list: repeat}
  - {header: X-Deep, claim: realm_access.roles, list: json}
  - {header: X-Who, template: "{org}/{sub}"}
"""
    async with attacked(tmp_path, text) as target:
        claims = {"roles": ["x,admin", "y\nadmin"], "realm_access": {"roles": ["a", "b\r\n"]}, "org": "acme/root"}
        seen = await target.passes(get("/api/x", "X-Who: root", "X-Roles: admin", bearer=token(**claims)))
        assert seen.all("X-Roles") == ["x%2Cadmin", "y%0Aadmin"]
        assert seen.all("X-Deep") == ['["a","b\\r\\n"]']
        assert seen.all("X-Who") == ["acme%2Froot/alice"]
        seen = await target.passes(get("/api/x", "X-Who: root", "X-Deep: root", bearer=token(realm_access="root")))
        assert not any(seen.all(name) for name in ("X-Who", "X-Deep", "X-Roles"))


@JUDGEMENT
async def test_an_identity_beyond_the_budget_is_refused_and_never_cut(tmp_path: Path) -> None:
    async with attacked(tmp_path, "limits: {identity_bytes: 1000, token_bytes: 30000, header_bytes: 60000}") as target:
        seen = await target.passes(get("/api/x", bearer=token(groups="g" * 800)))
        assert seen.all("X-Groups") == ["g" * 800]
        for claims in (
            {"groups": "g" * 10_000},
            {"groups": "g" * 500, "email": "e" * 500},
            {"groups": ["g" * 10] * 100},
            {"groups": "\u0000" * 340},
        ):
            answer = await target.ask(get("/api/x", bearer=token(**claims)))
            assert answer.status in (401, 403, 431)
            assert len(target.app.requests) == 1


# --- where tokens are

PLACES = """
identity: {issuer: "https://gw.example", key_file: identity.pem}
inject: [{identity_token: X-Identity, audience: app}, {header: X-User-Id, claim: sub}]
routes:
  - {id: header, match: {path: "/header/**"}, upstream: app, token_from: [{header: X-Access-Token}]}
  - {id: cookie, match: {path: "/cookie/**"}, upstream: app, token_from: [{cookie: session}], forward_token: true}
  - {id: public, match: {path: "/public/**"}, upstream: app, access: public}
"""
COOKIE_SPELLINGS = [
    *("session=TOK", "SESSION=TOK", "Session=TOK", '"session"=TOK', "session =TOK", "\tsession=TOK", "=session=TOK"),
    *(
        "%73ession=TOK",
        "session%20=TOK",
        "\u00a0session=TOK",
        "\u2000session=TOK",
        "session\u3000=TOK",
        "session[x]=TOK",
    ),
    *(
        "session[]=TOK",
        "a=b, session=TOK",
        "a=b,session=TOK",
        "a=b session=TOK",
        "a=b\tsession=TOK",
        "$Version=1, session=TOK",
    ),
    *('a="b, session=TOK"', 'a="b; session=TOK"', "a, session=TOK", ",session=TOK", "session"),
]


def cookies_as_others_read_them(header: str) -> set[str]:
    """Return the names of cookies that some servers would see: Python's parser, Django's, PHP's, .NET's."""
    names: set[str] = set()
    with contextlib.suppress(CookieError):
        names |= set(SimpleCookie(header))
    for pair in header.encode("latin-1").decode("utf-8", "replace").replace(",", ";").split(";"):
        name = unquote(pair.partition("=")[0]).strip()
        names |= {name, name.lower(), name.partition("[")[0].replace(".", "_").replace(" ", "_")}
    return names


def exact_names(spelling: str) -> set[str]:
    """Return the names that the gateway itself reads: two of one name are refused."""
    return {pair.partition("=")[0].strip(" \t") for pair in spelling.split(";") if "=" in pair}


@JUDGEMENT
async def test_no_spelling_of_a_token_cookie_passes(tmp_path: Path) -> None:
    """A browser lets a neighbouring host set U+2000 in front of `__Host-…`, which some servers strip."""
    (tmp_path / "identity.pem").write_bytes(make_key("EdDSA", "id").private_pem())
    good = token()
    async with attacked(tmp_path, PLACES) as target:
        for spelling in COOKIE_SPELLINGS:
            raw = f"Cookie: theme=dark; {spelling}; lang=ko".encode().decode("latin-1")
            seen = await target.passes(get("/public/x", raw))
            [cookie] = seen.all("Cookie")
            assert "TOK" not in cookie, spelling
            assert "session" not in cookies_as_others_read_them(cookie), spelling
            assert {"theme", "lang"} <= cookies_as_others_read_them(cookie)
            mine = (
                [f"Cookie: session={good}"] if "session" in exact_names(spelling) else [raw, f"Cookie: session={good}"]
            )
            seen = await target.passes(get("/cookie/x", *mine))
            left = "; ".join(seen.all("Cookie")).split("; ")
            assert [each for each in left if "ession" in each] == [f"session={good}"], spelling


@JUDGEMENT
async def test_two_token_cookies_are_refused(tmp_path: Path) -> None:
    (tmp_path / "identity.pem").write_bytes(make_key("EdDSA", "id").private_pem())
    async with attacked(tmp_path, PLACES) as target:
        good = token()
        for lines in (
            [f"Cookie: session={good}; session={good}"],
            [f"Cookie: session={good}", f"cookie: session={good}"],
            [f"Cookie: session={good}; a=b", "COOKIE: \tsession=x"],
            [f"Cookie: session={good}; session =x"],
        ):
            await target.refuses(get("/cookie/x", *lines), 400)


@JUDGEMENT
async def test_nobody_brings_an_identity_token_along(tmp_path: Path) -> None:
    (tmp_path / "identity.pem").write_bytes(make_key("EdDSA", "id").private_pem())
    async with attacked(tmp_path, PLACES) as target:
        forged = KEY.sign({"sub": "root", "iss": "https://gw.example"})
        spoofs = [
            f"{name}: {forged}"
            for name in ("X-Identity", "x_identity", "X.Identity", "X_Access_Token", "X-access.token")
        ]
        seen = await target.passes(get("/header/x", *spoofs, f"X-Access-Token: {token()}"))
        [identity] = seen.all("X-Identity")
        assert identity != forged
        assert lines_of(seen).count("X_IDENTITY") == 1
        assert "X_ACCESS_TOKEN" not in lines_of(seen)
        seen = await target.passes(get("/public/x", *spoofs, f"X-Access-Token: {token()}"))
        assert not {"X_IDENTITY", "X_ACCESS_TOKEN"} & set(lines_of(seen))
        await target.refuses(get("/header/x", *spoofs[3:]), 401)
        await target.refuses(get("/header/x", f"X-Access-Token: {token()}", f"x-access-token: {forged}"), 400)


@JUDGEMENT
@pytest.mark.parametrize("trusted", ["", "trusted_proxies: [127.0.0.1]"])
async def test_ids_of_requests_are_a_trusted_proxys_to_give(tmp_path: Path, trusted: str) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    async with attacked(tmp_path, trusted) as target:
        seen = await target.passes(get("/public/x", "X-Request-ID: theirs", f"traceparent: {trace}", "tracestate: a=b"))
        if trusted:
            assert (seen.one("X-Request-ID"), seen.one("traceparent"), seen.one("tracestate")) == (
                "theirs",
                trace,
                "a=b",
            )
        else:
            assert seen.one("X-Request-ID") not in (None, "theirs")
            assert not seen.all("traceparent") + seen.all("tracestate")
        for bad in ("X-Request-ID: a b", "X-Request-ID: a\x80", "X_Request_ID: theirs", f"X-Request-ID: {'a' * 129}"):
            seen = await target.passes(get("/public/x", bad, "traceparent: 00-1-2-3", "TraceParent: x"))
            assert seen.one("X-Request-ID") not in (None, bad.partition(": ")[2])
            assert not seen.all("traceparent")


# --- what an upstream cannot tell a client

COOKIES_OF_AN_UPSTREAM = [
    *("__Host-access=evil; Path=/; Secure", "__Secure-refresh=evil; Path=/auth; Secure", "__Host-access=; Max-Age=0"),
    *(
        " __Host-access =evil",
        "__HOST-Access=evil",
        "=__Host-access=evil",
        "\u2000__Host-access=evil",
        "__Host%2Daccess=evil",
    ),
    "__Host-access",
]


def sets(*cookies: str) -> bytes:
    lines = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in cookies).encode()
    return (
        b"Set-Cookie: theme=dark\r\nX-Access-Token: evil\r\nX_Refresh_Token: evil\r\nx-refresh-token: evil\r\n" + lines
    )


def hands_out_nothing(answer: Message, *, at_least: str | None = "theme=dark") -> None:
    assert answer.all("Set-Cookie") == ([at_least, "lang=ko"] if at_least else [])
    assert "evil" not in str(answer.headers)


async def test_an_upstream_sets_no_token_of_the_gateways(tmp_path: Path) -> None:
    """It could put a session of its own in place of the client's (fixation), in whatever part of an answer."""
    lines = sets(*COOKIES_OF_AN_UPSTREAM, "lang=ko")

    async def script(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            if seen.target == "/api/ws":
                await wire.send(SWITCH[:-2] + lines + b"\r\n")
                return
            if seen.target == "/api/hints":
                await wire.send(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n")
            if seen.target == "/api/trailers":
                trailers = b"X-Access-Token: evil\r\nSet-Cookie: __Host-access=evil\r\n"
                await wire.send(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + lines + b"\r\n0\r\n" + trailers + b"\r\n"
                )
            else:
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\nok")

    changes = {"routes": [{"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "renew": "header"}]}
    async with serving(tmp_path, preset("seed0"), changes=changes, script=script) as gate:
        cookies = set_cookies(await gate.try_login("alice", OWN_PAGE))
        mine = f"Cookie: __Host-access={cookies['__Host-access']['value']}"
        for path in ("/api/x", "/api/trailers"):
            async with connected(gate.port) as client:
                hands_out_nothing(await client.ask(get(path, mine)))
                assert await client.silent()
        async with connected(gate.port) as client:
            hints = await client.ask(get("/api/hints", mine))
            assert hints.status == 103
            hands_out_nothing(hints)
            hands_out_nothing(await client.answer())
        async with connected(gate.port) as client:
            switched = await client.ask(get("/api/ws", *UPGRADE, mine, OWN_PAGE))
            assert switched.status == 101
            hands_out_nothing(switched)


@JUDGEMENT
async def test_without_sessions_every_cookie_is_the_upstreams(tmp_path: Path) -> None:
    answer = OK.replace(b"\r\n", b"\r\nSet-Cookie: __Host-access=a\r\nX-Access-Token: b\r\n", 1)
    async with upstream(answering(answer)) as app, running(tmp_path, "", app.url) as gateway:
        seen = await ask(gateway.port, get("/open/x"))
        assert (seen.all("Set-Cookie"), seen.one("X-Access-Token")) == (["__Host-access=a"], "b")


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    changes = {"answer": {"login": "cookies", "refresh": "cookies"}, "cookies": {"refresh_cookie": True}}
    async with serving(tmp_path, preset("seed0"), changes={"sessions": changes}) as gate:
        yield gate


@JUDGEMENT
@pytest.mark.parametrize("before", ["\u2000", "\u00a0", "\u3000", "\x85", "\u2028", "$Version=1, ", "a=b "])
async def test_a_neighbour_cannot_put_its_session_into_a_browser(gate: SessionGateway, before: str) -> None:
    """A name that only begins to look like `__Host-…` once white space is stripped is free for any host to set."""
    evil = set_cookies(await gate.try_login("bob", OWN_PAGE))
    spoof = "; ".join(f"{before}{name}={each['value']}" for name, each in evil.items())
    line = f"Cookie: {spoof}".encode().decode("latin-1")
    assert (await gate.ask(get("/api/x", line))).status == 401
    answer = await gate.ask(request("POST", "/auth/refresh", line, OWN_PAGE, body=b""))
    assert (answer.status, "bob" in str(answer.body)) in ((400, False), (401, False))
    assert not any(each["value"] for each in set_cookies(answer).values())
    mine = set_cookies(await gate.try_login("alice", OWN_PAGE))
    both = line + "; " + "; ".join(f"{name}={each['value']}" for name, each in mine.items())
    assert (await gate.ask(get("/api/x", both))).status == 200
    assert gate.app.requests[-1].one("X-User") == "alice"
    assert "__Host-access" not in str(gate.app.requests[-1].headers)
