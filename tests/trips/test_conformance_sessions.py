"""Logins and exchanges of tokens through a whole gateway: each statement with its exact result."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.minting import NOW, make_key
from tests.trips.conformance import (
    IN_COOKIES,
    INVALID_GRANT,
    OWN_PAGE,
    REVOKED,
    SCOPE,
    basic,
    conforming,
    events,
    exchanged,
    form,
    generation_of,
    is_dead,
    is_error,
    is_refused,
    is_token_answer,
    metrics,
    opened,
    thefts,
    used,
)
from tests.trips.running import request
from tests.trips.session_running import (
    PASSWORD,
    SessionGateway,
    json_of,
    payload_of,
    set_cookies,
)
from tests.trips.wire import Message

ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with conforming(tmp_path) as gate:
        yield gate


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
