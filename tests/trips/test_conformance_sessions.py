"""Logins and exchanges of tokens through a whole gateway: each statement with its exact result."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.model.session import THEFT
from tests.minting import NOW, make_key
from tests.state.redis_servers import server_of
from tests.trips.conformance import (
    CONFORMANCE,
    INVALID_GRANT,
    REVOKED,
    SCOPE,
    basic,
    conforming,
    events,
    is_dead,
    is_error,
    is_refused,
    metrics,
)
from tests.trips.running import request
from tests.trips.session_running import (
    PASSWORD,
    PassingClock,
    SessionGateway,
    json_of,
    payload_of,
    set_cookies,
)
from tests.trips.wire import Message

Pair = dict[str, Any]
ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
OWN_PAGE = "Origin: https://app.example"
IN_COOKIES = {"answer": {"login": "cookies", "refresh": "cookies"}, "cookies": {"origins": ["https://app.example"]}}


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with conforming(tmp_path) as gate:
        yield gate


def is_token_answer(answer: Message) -> Pair:
    """Check that an answer is that of RFC 6749 §5.1, whole, and return what it says."""
    assert answer.status == 200
    assert (answer.one("Content-Type") or "").split(";")[0] == "application/json"
    assert (answer.one("Cache-Control"), answer.one("Pragma")) == ("no-store", "no-cache")
    body = json_of(answer)
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (body["token_type"], type(body["expires_in"])) == ("Bearer", int)
    return body


async def exchanged(gate: SessionGateway, refresh_token: str, **fields: str) -> Pair:
    return is_token_answer(await gate.exchange(refresh_token, **fields))


async def used(gate: SessionGateway, pair: Pair) -> None:
    """Use an access token once, and wait until that is known."""
    assert (await gate.api(pair["access_token"])).status == 200
    await gate.seen_in_use(pair["refresh_token"])


async def generation_of(gate: SessionGateway, pair: Pair) -> int:
    return (await gate.session_of(pair["refresh_token"])).generation


async def thefts(gate: SessionGateway) -> float:
    samples = await metrics(gate)
    return sum(samples.get(f'gateway_sessions_ended_total{{reason="{reason}"}}', 0) for reason in THEFT)


# --- the answers


async def test_a_login(gate: SessionGateway) -> None:
    """C72"""
    body = is_token_answer(await gate.try_login())
    assert (body["expires_in"], body["scope"]) == (600, SCOPE)
    claims = payload_of(body["access_token"])
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("alice", 600)
    assert (await gate.api(body["access_token"])).status == 200


async def test_an_exchange(gate: SessionGateway) -> None:
    """C73"""
    first = await gate.log_in()
    gate.later(60)
    second = await exchanged(gate, first["refresh_token"])
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    claims = payload_of(second["access_token"])
    assert second["expires_in"] == claims["exp"] - claims["iat"] == 600
    assert claims["jti"] != payload_of(first["access_token"])["jti"]
    assert (await gate.api(second["access_token"])).status == 200


# --- the same request again


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("form", ["opaque", "jwt"])
async def test_the_same_request_within_ten_seconds(tmp_path: Path, alg: str, form: str) -> None:
    """C74: byte for byte the same, and `expires_in` is what is left. With ES256 all but the signature."""
    changes = {"sessions": {"refresh": {"format": form}}}
    async with conforming(tmp_path, make_key(alg, "own"), changes=changes) as gate:
        first = await gate.log_in()
        second = await exchanged(gate, first["refresh_token"])
        for passed in (0, 4, 10):
            gate.clock.now = NOW + passed
            again = await exchanged(gate, first["refresh_token"])
            assert again["refresh_token"] == second["refresh_token"]
            assert again["expires_in"] == 600 - passed
            head, payload, signature = again["access_token"].split(".")
            assert [head, payload] == second["access_token"].split(".")[:2]
            assert alg == "ES256" or signature == second["access_token"].split(".")[2]
            assert (await gate.api(again["access_token"])).status == 200


async def test_fifty_at_once(gate: SessionGateway) -> None:
    """C75: one rotation."""
    first = await gate.log_in()
    answers = await asyncio.gather(*(exchanged(gate, first["refresh_token"]) for _ in range(50)))
    assert len({(answer["access_token"], answer["refresh_token"]) for answer in answers}) == 1
    assert await generation_of(gate, first) == 2
    samples = await metrics(gate)
    assert samples['gateway_exchanges_total{result="rotated"}'] == 1
    assert samples['gateway_exchanges_total{result="repeated"}'] == 49


async def test_a_lost_answer_half_an_hour_later(gate: SessionGateway) -> None:
    """C76: the same refresh token; a new access token of the same generation, and from then on that very one."""
    first = await gate.log_in()
    lost = await exchanged(gate, first["refresh_token"])
    gate.later(1800)
    found = await exchanged(gate, first["refresh_token"])
    assert found["refresh_token"] == lost["refresh_token"]
    before, after = payload_of(lost["access_token"]), payload_of(found["access_token"])
    assert (after["iat"], after["exp"]) == (NOW + 1800, NOW + 2400)
    assert after["jti"] != before["jti"]
    assert (after["gen"], after["sid"]) == (before["gen"], before["sid"]) == (2, before["sid"])
    gate.later(60)
    again = await exchanged(gate, first["refresh_token"])
    assert (again["access_token"], again["refresh_token"]) == (found["access_token"], found["refresh_token"])
    assert again["expires_in"] == 540
    assert (await gate.api(again["access_token"])).status == 200
    assert (await metrics(gate))['gateway_exchanges_total{result="recovered"}'] == 2
    assert await thefts(gate) == 0


async def test_the_predecessor_when_its_successor_was_used(gate: SessionGateway) -> None:
    """C77, C174: eleven seconds later. Both tokens that are out are dead, and somebody is told whose they were."""
    first, other = await gate.log_in(), await gate.log_in()
    second = await exchanged(gate, first["refresh_token"])
    await used(gate, second)
    gate.later(11)
    log = events(gate)
    is_dead(await gate.exchange(first["refresh_token"], client_id="web"))
    is_refused(await gate.api(second["access_token"]), REVOKED)
    is_dead(await gate.exchange(second["refresh_token"]))
    assert (await gate.api(other["access_token"])).status == 200
    [alarm] = log("refresh_token_reuse")
    assert {name: alarm[name] for name in alarm if name not in ("time", "session")} == {
        "level": "warning",
        "event": "refresh_token_reuse",
        "subject": "alice",
        "client": "web",
        "reason": "reuse",
        "distance": 1,
        "address": "127.0.0.1",
    }
    assert alarm["session"] == payload_of(second["access_token"])["sid"]
    assert await thefts(gate) == 1


@pytest.mark.parametrize("passed", [0, 5, 11, 86400])
async def test_the_predecessors_predecessor(gate: SessionGateway, passed: int) -> None:
    """C78, C79: at any time, and then the live one is dead as well."""
    first = await gate.log_in()
    second = await exchanged(gate, first["refresh_token"])
    third = await exchanged(gate, second["refresh_token"])
    assert (await gate.api(third["access_token"])).status == 200
    gate.later(passed)
    is_dead(await gate.exchange(first["refresh_token"]))
    assert await thefts(gate) == 1
    is_dead(await gate.exchange(third["refresh_token"]))
    assert (await gate.api(third["access_token"])).status == 401
    assert await thefts(gate) == 1


async def test_replays_every_five_seconds(gate: SessionGateway) -> None:
    """C80: the window is fixed at the rotation; a replay does not move it."""
    first = await gate.log_in()
    await used(gate, second := await exchanged(gate, first["refresh_token"]))
    statuses = []
    for _ in range(12):
        gate.later(5)
        statuses.append((await gate.exchange(first["refresh_token"])).status)
    assert statuses == [200, 200] + [400] * 10
    is_dead(await gate.exchange(second["refresh_token"]))


# --- what gives no pair


async def test_after_a_logout(gate: SessionGateway) -> None:
    """C81: no theft, and the other sessions are intact."""
    pair, other = await gate.log_in(), await gate.log_in()
    log = events(gate)
    assert (await gate.log_out(pair["refresh_token"])).status == 204
    for _ in range(3):
        is_dead(await gate.exchange(pair["refresh_token"]))
    assert await thefts(gate) == 0
    assert log("refresh_token_reuse") == []
    assert (await gate.api(other["access_token"])).status == 200
    await exchanged(gate, other["refresh_token"])


def flipped(token: str) -> Iterator[str]:
    """Give a token with a character changed, at many places."""
    for index in range(0, len(token), 5):
        if token[index] != ".":
            yield token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]


@pytest.mark.parametrize("form", ["opaque", "jwt"])
async def test_what_never_was_a_refresh_token(tmp_path: Path, form: str) -> None:
    """C82: the same answer as after a logout (C81), but for the request's id. Nothing changes."""
    changes = {"sessions": {"refresh": {"format": form}, "junk_per_minute": 10_000}}
    async with conforming(tmp_path, changes=changes) as gate:
        pair, over = await gate.log_in(), await gate.log_in()
        await gate.log_out(over["refresh_token"])
        before = await gate.session_of(pair["refresh_token"])
        good = pair["refresh_token"]
        junk = [
            "garbage",
            good[:-5],
            good[:20],
            good + "A",
            good + "==",
            "rt1." + "A" * 56,
            "a.b.c",
            "é",
            "%00",
            "." * 99,
        ]
        expected = face(await gate.exchange(over["refresh_token"]))
        for token in (*junk, *flipped(good), pair["access_token"]):
            answer = await gate.exchange(token)
            is_dead(answer)
            assert face(answer) == expected
        assert await gate.session_of(good) == before
        await exchanged(gate, good)
        assert await thefts(gate) == 0


def face(answer: Message) -> tuple[Any, ...]:
    """Return an answer without what differs from request to request."""
    varying = ("Date", "X-Request-ID", "Content-Length")
    headers = sorted((name, value) for name, value in answer.headers if name not in varying)
    return answer.status, headers, {**json_of(answer), "request_id": ""}


@pytest.mark.parametrize(
    ("limits", "passed"), [({"idle": 1000, "absolute": None}, 1000), ({"idle": None, "absolute": 1000}, 1000)]
)
async def test_a_refresh_token_that_ran_out(tmp_path: Path, limits: dict[str, Any], passed: int) -> None:
    """C83, C176: 400 at the token endpoint; 401 and no cookies left at the refresh endpoint."""
    async with conforming(tmp_path, changes={"sessions": {"refresh": limits, **IN_COOKIES}}) as gate:
        login = await gate.try_login("alice", OWN_PAGE)
        cookies = set_cookies(login)
        token = cookies["__Secure-refresh"]["value"]
        line = "Cookie: " + "; ".join(f"{name}={cookie['value']}" for name, cookie in cookies.items())
        gate.later(passed)
        is_dead(await gate.exchange(token))
        answer = await gate.post("/auth/refresh", None, line, OWN_PAGE)
        assert answer.status == 401
        assert answer.one("WWW-Authenticate") == (
            f'Bearer realm="gw", error="invalid_token", error_description="{INVALID_GRANT}"'
        )
        assert json_of(answer)["error"] == "invalid_token"
        cleared = {name: (each["value"], each["max-age"], each["path"]) for name, each in set_cookies(answer).items()}
        assert cleared == {"__Host-access": ("", "0", "/"), "__Secure-refresh": ("", "0", "/auth")}
        assert await thefts(gate) == 0


async def test_a_refresh_token_that_is_used_before_it_runs_out(tmp_path: Path) -> None:
    """C176: `idle` begins anew at each exchange."""
    async with conforming(tmp_path, changes={"sessions": {"refresh": {"idle": 1000}}}) as gate:
        pair = await gate.log_in()
        for _ in range(3):
            gate.later(999)
            pair = await exchanged(gate, pair["refresh_token"])
        gate.later(1000)
        is_dead(await gate.exchange(pair["refresh_token"]))


@pytest.mark.parametrize("form", ["opaque", "jwt"])
async def test_near_the_absolute_end(tmp_path: Path, form: str) -> None:
    """C84: neither token outlives it, however often it is exchanged."""
    refresh = {"idle": 800, "absolute": 1000, "format": form}
    async with conforming(tmp_path, changes={"sessions": {"refresh": refresh}}) as gate:
        pair = await gate.log_in()
        for passed in (500, 900, 950, 998):
            gate.clock.now = NOW + passed
            pair = await exchanged(gate, pair["refresh_token"])
            assert payload_of(pair["access_token"])["exp"] == min(NOW + passed + 600, NOW + 1000)
            assert pair["expires_in"] == min(600, 1000 - passed)
            assert (await gate.session_of(pair["refresh_token"])).expires_at == NOW + 1000
            if form == "jwt":
                assert payload_of(pair["refresh_token"])["exp"] == NOW + 1000
        gate.clock.now = NOW + 1000
        is_dead(await gate.exchange(pair["refresh_token"]))
        gate.later(5)
        assert (await gate.api(pair["access_token"])).status == 401


# --- requests that are wrong


MALFORMED = {
    "C85 no grant_type": ("refresh_token={}", "invalid_request"),
    "C86 another grant_type": ("grant_type=foo&refresh_token={}", "unsupported_grant_type"),
    "C87 password": (f"grant_type=password&username=alice&password={PASSWORD}", "unsupported_grant_type"),
    "C88 missing": ("grant_type=refresh_token", "invalid_request"),
    "C88 empty": ("grant_type=refresh_token&refresh_token=", "invalid_request"),
    "C89 twice": ("grant_type=refresh_token&refresh_token={}&refresh_token={}", "invalid_request"),
    "C89 another one twice": ("grant_type=refresh_token&refresh_token={}&scope=a&scope=a", "invalid_request"),
    "C94 more than granted": ("grant_type=refresh_token&refresh_token={}&scope=admin", "invalid_scope"),
    "C94 some more": ("grant_type=refresh_token&refresh_token={}&scope=orders%3Aread+admin", "invalid_scope"),
}


def form(path: str, body: str, *headers: str) -> bytes:
    return request("POST", path, "Content-Type: application/x-www-form-urlencoded", *headers, body=body.encode())


async def test_malformed_requests(gate: SessionGateway) -> None:
    """C85, C86, C87, C88, C89, C94: nothing is consumed by them."""
    pair = await gate.log_in()
    for name, (body, error) in MALFORMED.items():
        answer = await gate.ask(form("/oauth/token", body.replace("{}", pair["refresh_token"])))
        is_error(answer, 400, error)
        assert await generation_of(gate, pair) == 1, name
    await exchanged(gate, pair["refresh_token"])


async def test_parameters_in_the_query(gate: SessionGateway, capfd: pytest.CaptureFixture[str]) -> None:
    """C90: they are refused, consume nothing, and are not logged."""
    pair = await gate.log_in()
    query = f"grant_type=refresh_token&refresh_token={pair['refresh_token']}"
    for body in ("", "grant_type=refresh_token&refresh_token=x", query):
        is_error(await gate.ask(form(f"/oauth/token?{query}", body)), 400, "invalid_request")
    assert await generation_of(gate, pair) == 1
    await exchanged(gate, pair["refresh_token"])
    await gate.gateway.drain()
    await asyncio.sleep(0.3)
    told = "".join(capfd.readouterr())
    assert "/oauth/token" in told
    assert pair["refresh_token"] not in told


async def test_other_methods(gate: SessionGateway) -> None:
    """C91"""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = await gate.ask(request(method, "/oauth/token"))
        is_error(answer, 405, "method_not_allowed")
        assert answer.one("Allow") == "POST"
    answer = await gate.ask(request("HEAD", "/oauth/token"))
    assert (answer.status, answer.one("Allow")) == (405, "POST")


async def test_json(gate: SessionGateway) -> None:
    """C92: not at the token endpoint, but at the refresh endpoint."""
    pair = await gate.log_in()
    body = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    is_error(await gate.post("/oauth/token", body), 400, "invalid_request")
    assert await generation_of(gate, pair) == 1
    is_token_answer(await gate.post("/auth/refresh", body))


async def test_a_narrower_scope(gate: SessionGateway) -> None:
    """C93, C177: for this access token; what the refresh token is for stays, and so does its audience."""
    pair = await gate.log_in()
    narrow = await exchanged(gate, pair["refresh_token"], scope="orders:read")
    assert narrow["scope"] == payload_of(narrow["access_token"])["scope"] == "orders:read"
    assert (await gate.session_of(narrow["refresh_token"])).scope == SCOPE
    wide = await exchanged(gate, narrow["refresh_token"])
    assert wide["scope"] == payload_of(wide["access_token"])["scope"] == SCOPE
    for each in (narrow, wide):
        assert payload_of(each["access_token"])["aud"] == payload_of(pair["access_token"])["aud"]


# --- clients


async def opened(gate: SessionGateway, client_id: str) -> Pair:
    """Open a session for alice as a backend does, of any client."""
    answer = await gate.post("/auth/sessions", {"sub": "alice", "client_id": client_id}, basic("backend"))
    assert answer.status == 201
    return json_of(answer)


async def test_the_refresh_token_of_another_client(gate: SessionGateway) -> None:
    """C95: nothing is revoked."""
    pair = await gate.log_in()
    is_dead(await gate.exchange(pair["refresh_token"], basic("svc")))
    is_dead(await gate.exchange(pair["refresh_token"], client_id="phone"))
    assert (await gate.api(pair["access_token"])).status == 200
    await exchanged(gate, pair["refresh_token"], client_id="web")
    assert await thefts(gate) == 0


async def test_a_wrong_secret(gate: SessionGateway) -> None:
    """C96: nothing is consumed."""
    pair = await opened(gate, "svc")
    answer = await gate.exchange(pair["refresh_token"], basic("svc", "wrong"))
    is_error(answer, 401, "invalid_client")
    assert answer.one("WWW-Authenticate") == 'Basic realm="gw", charset="UTF-8"'
    assert await generation_of(gate, pair) == 1
    is_token_answer(await gate.exchange(pair["refresh_token"], basic("svc")))


async def test_two_ways_to_authenticate(gate: SessionGateway) -> None:
    """C97"""
    pair = await opened(gate, "svc")
    both = {"client_id": "svc", "client_secret": "a random secret, and of more than 32 characters"}
    is_error(await gate.exchange(pair["refresh_token"], basic("svc"), **both), 400, "invalid_request")
    assert await generation_of(gate, pair) == 1
    is_token_answer(await gate.exchange(pair["refresh_token"], **both))


async def test_a_client_without_the_grant(gate: SessionGateway) -> None:
    """C98"""
    pair = await gate.log_in()
    is_error(await gate.exchange(pair["refresh_token"], basic("batch")), 400, "unauthorized_client")
    assert await generation_of(gate, pair) == 1


async def test_an_unknown_parameter(gate: SessionGateway) -> None:
    """C99"""
    pair = await gate.log_in()
    await exchanged(gate, pair["refresh_token"], resource="https://api.example", foo="bar")


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
        assert refresh == {"HttpOnly", "Secure", "SameSite=Strict", "Path=/auth", f"Max-Age={7 * 86400}"}
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
