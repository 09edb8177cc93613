"""What a configuration decides about sessions, and how they end, through a whole gateway, with the exact results."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.minting import NOW, make_key
from tests.state.redis_servers import server_of
from tests.trips.conformance import (
    CONFORMANCE,
    IN_COOKIES,
    OWN_PAGE,
    REVOKED,
    Pair,
    conforming,
    exchanged,
    form,
    generation_of,
    is_dead,
    is_error,
    is_refused,
    is_token_answer,
    metrics,
    thefts,
)
from tests.trips.session_running import (
    PASSWORD,
    PassingClock,
    SessionGateway,
    json_of,
    payload_of,
    set_cookies,
)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with conforming(tmp_path) as gate:
        yield gate


# --- the store


async def test_redis_down(tmp_path: Path) -> None:
    """C100: the refresh token is good afterwards."""
    with server_of(tmp_path / "redis", appendonly="yes", appendfsync="always") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with conforming(tmp_path, STATE_URL=url, clock=PassingClock()) as gate:
            pair = await gate.log_in()
            await asyncio.to_thread(server.kill)
            for answer in (await gate.exchange(pair["refresh_token"]), await gate.refresh(pair["refresh_token"])):
                is_error(answer, 503, "temporarily_unavailable")
                assert int(answer.one("Retry-After") or 0) > 0
                assert answer.all("Set-Cookie") == []
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(20):
                while (answer := await gate.exchange(pair["refresh_token"])).status == 503:
                    await asyncio.sleep(0.1)
            assert is_token_answer(answer)["refresh_token"] != pair["refresh_token"]


@contextmanager
def rolled_back(file: Path) -> Iterator[None]:
    """Put every session back to what it was before, as a failover does that loses writes."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM sessions").fetchall()
        yield
        for row in rows:
            places = ", ".join("?" * len(row))
            connection.execute(f"INSERT OR REPLACE INTO sessions VALUES ({places})", row)


async def test_two_rotations_that_the_store_lost(gate: SessionGateway) -> None:
    """C103"""
    pair = await gate.log_in()
    with rolled_back(gate.directory / "state.db"):
        pair = await exchanged(gate, pair["refresh_token"])
        pair = await exchanged(gate, pair["refresh_token"])
    assert await generation_of(gate, pair) == 1
    gate.later(60)
    healed = await exchanged(gate, pair["refresh_token"])
    assert payload_of(healed["access_token"])["gen"] == 4
    assert (await gate.api(healed["access_token"])).status == 200
    assert (await metrics(gate))["gateway_exchanges_healed_total"] == 1
    assert await thefts(gate) == 0
    is_dead(await gate.exchange("garbage"))


async def test_more_rotations_than_a_store_can_have_lost(gate: SessionGateway) -> None:
    """C103: beyond `heal_limit` it is no refresh token, and nothing changes."""
    pair = first = await gate.log_in()
    with rolled_back(gate.directory / "state.db"):
        for _ in range(3):
            pair = await exchanged(gate, pair["refresh_token"])
    is_dead(await gate.exchange(pair["refresh_token"]))
    await exchanged(gate, first["refresh_token"])
    assert (await metrics(gate))["gateway_exchanges_healed_total"] == 0


# --- policies


def exchange(**rules: Any) -> dict[str, Any]:
    """Return changes for rules that go with neither `refresh_inline` nor `renew`."""
    return {"sessions": {"exchange": rules}, "routes": [CONFORMANCE["routes"][0]]}


async def test_an_early_exchange_is_put_off(tmp_path: Path) -> None:
    """C104"""
    changes = exchange(early="reject", early_slack=0)
    async with conforming(tmp_path, changes=changes) as gate:
        pair = await gate.log_in()
        for ask in (gate.exchange, gate.refresh):
            answer = await ask(pair["refresh_token"])
            is_error(answer, 400, "invalid_request", "The access token is still valid")
            assert answer.one("Retry-After") == "600"
        assert await generation_of(gate, pair) == 1
        assert (await gate.api(pair["access_token"])).status == 200
        gate.later(600)
        await exchanged(gate, pair["refresh_token"])


async def test_an_early_exchange_is_theft(tmp_path: Path) -> None:
    """C105: both tokens are dead, and a login works again."""
    changes = exchange(early="theft", early_slack=0)
    async with conforming(tmp_path, changes=changes) as gate:
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        is_dead(await gate.exchange(pair["refresh_token"]))
        is_refused(await gate.api(pair["access_token"]), REVOKED)
        gate.later(600)
        is_dead(await gate.exchange(pair["refresh_token"]))
        assert await thefts(gate) == 1
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        gate.later(600)
        await exchanged(gate, pair["refresh_token"])


@pytest.mark.parametrize(("early", "passed"), [("allow", 0), ("reject", 540), ("theft", 540), ("reject", 599)])
async def test_an_early_exchange_is_fine(tmp_path: Path, early: str, passed: int) -> None:
    """C106: where it is allowed, and within the slack of a minute."""
    changes = exchange(early=early, early_slack=60)
    async with conforming(tmp_path, changes=changes) as gate:
        pair = await gate.log_in()
        gate.later(passed)
        await exchanged(gate, pair["refresh_token"])


@pytest.fixture
async def bound(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with conforming(tmp_path, changes=exchange(access_token="bound")) as gate:
        yield gate


async def test_bound_without_an_access_token(bound: SessionGateway) -> None:
    """C107"""
    pair = await bound.log_in()
    for ask in (bound.exchange, bound.refresh):
        is_error(await ask(pair["refresh_token"]), 400, "invalid_request")
    assert await generation_of(bound, pair) == 1


async def test_bound_with_the_expired_access_token_of_the_pair(bound: SessionGateway) -> None:
    """C108: in the body, or in `Authorization` on the refresh route, and there only."""
    pair = await bound.log_in()
    bound.later(3600)
    is_error(await bound.exchange(pair["refresh_token"], bearer(pair)), 400, "invalid_request")
    pair = await exchanged(bound, pair["refresh_token"], access_token=pair["access_token"])
    bound.later(3600)
    is_refused(await bound.api(pair["access_token"]), "The access token expired")
    is_token_answer(await bound.refresh(pair["refresh_token"], bearer(pair)))


def bearer(pair: Pair) -> str:
    return f"Authorization: Bearer {pair['access_token']}"


async def test_bound_with_another_access_token(bound: SessionGateway) -> None:
    """C109: of another session or user nothing changes; an older one of the same session is theft."""
    pair, hers, his = await bound.log_in(), await bound.log_in(), await bound.log_in("bob")
    for other in (hers, his):
        is_dead(await bound.exchange(pair["refresh_token"], access_token=other["access_token"]))
    assert await generation_of(bound, pair) == 1
    assert await thefts(bound) == 0
    second = await exchanged(bound, pair["refresh_token"], access_token=pair["access_token"])
    is_dead(await bound.exchange(second["refresh_token"], access_token=pair["access_token"]))
    assert await thefts(bound) == 1
    is_refused(await bound.api(second["access_token"]), REVOKED)
    is_dead(await bound.exchange(second["refresh_token"], access_token=second["access_token"]))


async def test_bound_with_a_forged_access_token(bound: SessionGateway) -> None:
    """C110: nothing changes."""
    pair = await bound.log_in()
    head, payload, signature = pair["access_token"].split(".")
    forged = make_key("EdDSA", "evil").sign(payload_of(pair["access_token"]))
    for access in (f"{head}.{payload}.{'A' * len(signature)}", f"{head}.{payload}.", forged, "junk", "a.b.c"):
        is_dead(await bound.exchange(pair["refresh_token"], access_token=access))
    assert await generation_of(bound, pair) == 1
    await exchanged(bound, pair["refresh_token"], access_token=pair["access_token"])


async def test_one_session_per_user(tmp_path: Path) -> None:
    """C111: the first one ends."""
    async with conforming(tmp_path, changes={"sessions": {"limit": {"per_subject": 1}}}) as gate:
        first, other = await gate.log_in(), await gate.log_in("bob")
        assert (await gate.api(first["access_token"])).status == 200
        second = await gate.log_in()
        is_refused(await gate.api(first["access_token"]), REVOKED)
        is_dead(await gate.exchange(first["refresh_token"]))
        assert await thefts(gate) == 0
        for pair in (second, other):
            assert (await gate.api(pair["access_token"])).status == 200
            await exchanged(gate, pair["refresh_token"])


async def test_one_session_per_user_and_the_newcomer_is_refused(tmp_path: Path) -> None:
    """C112: with the number of sessions. The first one is unaffected."""
    changes = {"sessions": {"limit": {"per_subject": 1, "on_excess": "reject"}}}
    async with conforming(tmp_path, changes=changes) as gate:
        first = await gate.log_in()
        answer = await gate.try_login()
        body = json_of(answer)
        assert (answer.status, body["error"], body["sessions"]) == (403, "too_many_sessions", 1)
        assert answer.one("Cache-Control") == "no-store"
        assert (await gate.api(first["access_token"])).status == 200
        first = await exchanged(gate, first["refresh_token"])
        assert (await gate.log_out(first["refresh_token"])).status == 204
        assert (await gate.try_login()).status == 200


# --- tokens beside the answers of the upstream


async def test_a_refresh_token_on_an_api_route(gate: SessionGateway) -> None:
    """C113: the upstream never sees it; C114: elsewhere it is refused."""
    pair = await gate.log_in()
    is_refused(await gate.api(pair["refresh_token"]))
    is_refused(await gate.api(pair["refresh_token"], path="/renewing/x"))
    assert gate.app.requests == []
    assert await generation_of(gate, pair) == 1
    answer = await gate.api(pair["refresh_token"], path="/inline/x")
    assert (answer.status, answer.body, answer.one("Cache-Control")) == (200, b"ok", "no-store")
    access, refresh = answer.one("X-Access-Token") or "", answer.one("X-Refresh-Token") or ""
    [seen] = gate.app.requests
    assert seen.one("X-User") == "alice"
    assert not any(token in str(seen) for token in (pair["refresh_token"], access, refresh))
    assert (await gate.api(access)).status == 200
    await exchanged(gate, refresh)


async def test_a_sliding_route(tmp_path: Path) -> None:
    """C115: at a tenth of its life; the new end is bounded by that of the session."""
    async with conforming(tmp_path, changes={"sessions": {"refresh": {"idle": None, "absolute": 1000}}}) as gate:
        pair = await gate.log_in()
        gate.later(540)
        answer = await gate.api(pair["access_token"], path="/renewing/x")
        assert (answer.status, answer.one("Cache-Control")) == (200, "no-store")
        renewed = answer.one("X-Access-Token") or ""
        assert payload_of(renewed)["exp"] == NOW + 1000
        assert answer.one("X-Refresh-Token") is None
        gate.clock.now = NOW + 999
        assert (await gate.api(renewed)).status == 200
        last = await gate.api(renewed, path="/renewing/x")
        assert (last.status, payload_of(last.one("X-Access-Token") or renewed)["exp"]) == (200, NOW + 1000)
        gate.clock.now = NOW + 1005
        is_refused(await gate.api(renewed), "The access token expired")


# --- cookies


async def test_a_login_in_cookies(tmp_path: Path) -> None:
    """C116: the access token for every path, the refresh token for the endpoints that need it."""
    async with conforming(tmp_path, changes={"sessions": IN_COOKIES}) as gate:
        answer = await gate.try_login("alice", OWN_PAGE)
        assert answer.status == 200
        lines = [line.split("; ") for line in answer.all("Set-Cookie")]
        names = [line[0].partition("=")[0] for line in lines]
        assert names == ["__Host-access", "__Secure-refresh"]
        access, refresh = (set(line[1:]) for line in lines)
        assert access == {"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=600"}
        assert refresh == {"HttpOnly", "Secure", "SameSite=Strict", "Path=/auth", f"Max-Age={30 * 86400}"}
        assert set(json_of(answer)) == {"token_type", "expires_in", "scope"}


async def test_a_cookie_without_proof_of_the_page(tmp_path: Path) -> None:
    """C117"""
    async with conforming(tmp_path, changes={"sessions": IN_COOKIES}) as gate:
        cookies = set_cookies(await gate.try_login("alice", OWN_PAGE))
        line = "Cookie: " + "; ".join(f"{name}={cookie['value']}" for name, cookie in cookies.items())
        for proof in ([], ["Origin: https://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"]):
            for path in ("/auth/refresh", "/auth/logout"):
                answer = await gate.post(path, None, line, *proof)
                is_error(answer, 403, "access_denied")
                assert answer.all("Set-Cookie") == []
        assert (await gate.session_of(cookies["__Secure-refresh"]["value"])).generation == 1
        answer = await gate.post("/auth/refresh", None, line, OWN_PAGE)
        assert answer.status == 200
        assert set(set_cookies(answer)) == {"__Host-access", "__Secure-refresh"}


# --- over


async def test_a_logout(gate: SessionGateway) -> None:
    """C118: here at once; C119: again, and with garbage."""
    pair, other = await gate.log_in(), await gate.log_in()
    assert (await gate.api(pair["access_token"])).status == 200
    answer = await gate.log_out(pair["refresh_token"])
    assert (answer.status, answer.body, answer.one("Cache-Control")) == (204, b"", "no-store")
    is_refused(await gate.api(pair["access_token"]), REVOKED)
    is_dead(await gate.exchange(pair["refresh_token"]))
    for token in (pair["refresh_token"], "garbage", "a.b.c", other["refresh_token"][:-4] + "AAAA"):
        assert (await gate.log_out(token)).status == 204
    assert (await gate.api(other["access_token"])).status == 200


async def test_an_administrator_ends_the_sessions_of_a_subject(gate: SessionGateway) -> None:
    """C120"""
    pairs, other = [await gate.log_in(), await gate.log_in()], await gate.log_in("bob")
    for pair in pairs:
        assert (await gate.api(pair["access_token"])).status == 200
    assert (await gate.admin("DELETE", "/subjects/alice/sessions")).status == 200
    for pair in pairs:
        is_refused(await gate.api(pair["access_token"]), REVOKED)
        is_dead(await gate.exchange(pair["refresh_token"]))
    assert (await gate.api(other["access_token"])).status == 200


async def test_a_changed_password(gate: SessionGateway) -> None:
    """C175: all sessions of the subject end; one that begins afterwards is good."""
    pairs, other = [await gate.log_in(), await gate.log_in()], await gate.log_in("bob")
    answer = await gate.admin("POST", "/subjects/alice/credential-change")
    assert answer.status == 200, answer.body
    for pair in pairs:
        is_refused(await gate.api(pair["access_token"]), REVOKED)
        is_dead(await gate.exchange(pair["refresh_token"]))
    gate.later(1)
    for pair in (await gate.log_in(), other):
        assert (await gate.api(pair["access_token"])).status == 200


async def test_junk_is_slowed_down(tmp_path: Path) -> None:
    """C122: junk only; what verifies gets its answer, from the same address."""
    async with conforming(tmp_path, changes={"sessions": {"junk_per_minute": 3}}) as gate:
        pair, over = await gate.log_in(), await gate.log_in()
        await gate.log_out(over["refresh_token"])
        statuses = [(await gate.exchange(f"junk{number}")).status for number in range(5)]
        assert statuses == [400, 400, 400, 429, 429]
        for ask in (gate.exchange, gate.refresh):
            answer = await ask(pair["refresh_token"].swapcase())
            is_error(answer, 429, "too_many_attempts")
            assert answer.one("Retry-After") == "20"
        is_dead(await gate.exchange(over["refresh_token"]))
        await exchanged(gate, pair["refresh_token"])
        gate.later(20)
        is_dead(await gate.exchange("junk"))


async def test_no_redirect(gate: SessionGateway) -> None:
    """C124: neither for a path that is nearly right, nor for http, nor for another host."""
    pair = await gate.log_in()
    body = f"grant_type=refresh_token&refresh_token={pair['refresh_token']}"
    statuses = []
    for path in ("/oauth/token/", "//oauth/token", "/oauth//token", "/oauth/./token", "/OAUTH/TOKEN", "/oauth/token;x"):
        answer = await gate.ask(form(path, body))
        statuses.append(answer.status)
        assert answer.one("Location") is None
    answer = await gate.ask(form("/oauth/token", body, "X-Forwarded-Proto: http"))
    assert (answer.status, answer.one("Location")) == (200, None)
    assert not any(300 <= status < 400 for status in statuses), statuses
    assert await generation_of(gate, pair) in (2, 2 + statuses.count(200))


async def test_where_a_form_may_be_sent(tmp_path: Path) -> None:
    """C179: exactly to what is listed, and with 303, which repeats nothing."""
    changes = {"sessions": {**IN_COOKIES, "redirects": ["/welcome", "https://app.example/in"]}}
    async with conforming(tmp_path, changes=changes) as gate:
        wrong = ["https://evil.example", "//evil.example", "/welcome/", "/welcome?x", "/Welcome", "/", "welcome"]
        wrong += ["https://app.example/in/..", "https://app.example.evil.example/in", "/\\evil.example", "javascript:x"]
        login = {"username": "alice", "password": PASSWORD}
        for target in wrong:
            for path, body in (("/auth/login", login), ("/auth/logout", {})):
                answer = await gate.post(path, {**body, "redirect": target}, OWN_PAGE, form=True)
                is_error(answer, 400, "invalid_request")
                assert (answer.one("Location"), answer.all("Set-Cookie")) == (None, [])
        for target in ("/welcome", "https://app.example/in"):
            for path, body in (("/auth/login", login), ("/auth/logout", {})):
                answer = await gate.post(path, {**body, "redirect": target}, OWN_PAGE, form=True)
                assert (answer.status, answer.one("Location")) == (303, target)
                assert set(set_cookies(answer)) == {"__Host-access", "__Secure-refresh"}
                assert answer.one("Cache-Control") == "no-store"


# --- the start


async def test_a_public_client_without_rotation(tmp_path: Path) -> None:
    """C173"""
    with pytest.raises(Exception, match=r"public clients .*need refresh\.rotate"):
        async with conforming(tmp_path, changes={"sessions": {"refresh": {"rotate": False}}}):
            pass


@pytest.mark.parametrize(
    ("target", "is_told"),
    [
        ("http://192.0.2.1:9000", True),
        ("http://orders.internal:80", True),
        ("https://192.0.2.1", False),
        ("http://127.0.0.1:9", False),
        ("unix:/run/app.sock", False),
    ],
)
async def test_an_upstream_without_tls_on_another_host(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str, is_told: bool
) -> None:
    """C178"""
    async with conforming(tmp_path, GATEWAY_UPSTREAM=target):
        pass
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = [line for line in lines if line["event"] == "upstream_unprotected"]
    assert [(line["level"], line["upstream"], line["targets"]) for line in told] == [
        ("warning", "app", [target])
    ] * is_told
