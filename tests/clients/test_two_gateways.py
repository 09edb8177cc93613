"""Several gateways as processes on one store: what one does holds for all, whoever of them dies."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.protocol import State

from tests.clients.lossy import lossy_relay
from tests.clients.processes import (
    ADMIN_TOKEN,
    BACKEND,
    PATIENCE,
    Fleet,
    GatewayProcess,
    fleet,
    opened,
)
from tests.state.redis_servers import RedisServer, server_of, wait_until

Tokens = dict[str, Any]
Answer = tuple[int, dict[str, Any]]
QUICK = 0.5
"""Seconds after which a store that is stopped counts as away. Elsewhere much more: the machine may be busy."""

only_redis = pytest.mark.parametrize("pair", ["redis"], indirect=True)


@dataclass(frozen=True)
class Pair:
    """Two gateways on one store, with what can be started beside them."""

    fleet: Fleet
    a: GatewayProcess
    b: GatewayProcess
    redis: RedisServer | None

    @property
    def server(self) -> RedisServer:
        assert self.redis is not None
        return self.redis


@pytest.fixture(scope="module", params=["redis", "sqlite"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str
) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        redis = stack.enter_context(server_of(directory / "redis")) if request.param == "redis" else None
        url = "sqlite:state.db" if redis is None else f"redis://127.0.0.1:{redis.port}"
        ships = stack.enter_context(fleet(directory / "fleet", house, {"url": url, "timeout": 5}, echo))
        yield Pair(ships, *ships.pair(), redis)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that makes a connection for each request: gateways die here."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


async def answer_of(response: aiohttp.ClientResponse) -> Answer:
    text = await response.text()
    return response.status, json.loads(text) if text else {}


async def exchange(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> Answer:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "web"}
    async with http.post(f"{gateway.url}/oauth/token", data=form) as response:
        return await answer_of(response)


async def exchanged(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> Tokens:
    status, tokens = await exchange(http, gateway, refresh_token)
    assert status == 200, tokens
    return tokens


async def is_refused(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> bool:
    status, body = await exchange(http, gateway, refresh_token)
    return (status, body.get("error")) == (400, "invalid_grant")


async def status_of(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens, path: str = "/api/x") -> int:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with http.get(gateway.url + path, headers=headers) as response:
        return response.status


async def log_out(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens) -> int:
    async with http.post(f"{gateway.url}/auth/logout", json={"refresh_token": tokens["refresh_token"]}) as response:
        return response.status


async def sessions_of(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> list[dict[str, Any]]:
    url = f"{gateway.admin_url}/admin/api/v1/subjects/{subject}/sessions"
    async with http.get(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}) as response:
        listed: list[dict[str, Any]] = (await response.json())["sessions"]
        return listed


async def generations_of(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> list[int]:
    return [each["generation"] for each in await sessions_of(http, gateway, subject)]


async def end_subject(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> int:
    url = f"{gateway.admin_url}/admin/api/v1/subjects/{subject}/sessions"
    async with http.delete(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}) as response:
        return int((await response.json())["ended"])


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, for as long as a busy machine may need."""
    async with asyncio.timeout(PATIENCE):
        while not await is_so():
            await asyncio.sleep(0.05)


async def becomes(
    http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens, status: int, path: str = "/api/x"
) -> None:
    async def is_so() -> bool:
        return await status_of(http, gateway, tokens, path) == status

    await eventually(is_so)


def claims_of(tokens: Tokens) -> dict[str, Any]:
    payload = tokens["access_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "==="))
    return claims


def kid_of(tokens: Tokens) -> str:
    return str(json.loads(urlsafe_b64decode(tokens["access_token"].split(".")[0] + "==="))["kid"])


def pairs_of(answers: list[Tokens]) -> set[tuple[str, str]]:
    return {(each["access_token"], each["refresh_token"]) for each in answers}


def exchanges(*gateways: GatewayProcess) -> tuple[float, float]:
    """Return how many exchanges rotated, and how many were repeated."""
    name = "gateway_exchanges_total"
    rotated = sum(each.metric(name, result="rotated") for each in gateways)
    return rotated, sum(each.metric(name, result="repeated") for each in gateways)


# --- one rotation, whoever asks whom


@pytest.mark.parametrize("is_spread", [False, True], ids=["one gateway", "two gateways"])
async def test_fifty_identical_exchanges_are_one_rotation_and_fifty_identical_answers(
    pair: Pair, http: aiohttp.ClientSession, is_spread: bool
) -> None:
    """C75"""
    old = opened(pair.a.url, sub=f"spread {is_spread}")
    before = exchanges(pair.a, pair.b)
    asked = [pair.b if is_spread and number % 2 else pair.a for number in range(50)]
    answers = await asyncio.gather(*(exchanged(http, gateway, old["refresh_token"]) for gateway in asked))
    assert len(pairs_of(answers)) == 1
    assert answers[0]["refresh_token"] != old["refresh_token"]
    after = exchanges(pair.a, pair.b)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 49)
    assert await generations_of(http, pair.b, f"spread {is_spread}") == [2]


async def test_when_a_gateway_is_killed_its_clients_get_the_identical_pair_from_the_other(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C75, C102"""
    shared, others = opened(pair.a.url, sub="killed"), [opened(pair.a.url, sub="killed") for _ in range(10)]
    victim = await asyncio.to_thread(pair.fleet.start)
    answered = 0
    failed = 0

    async def client(refresh_token: str, gateway: GatewayProcess) -> Tokens:
        nonlocal answered, failed
        try:
            tokens = await exchanged(http, gateway, refresh_token)
        except aiohttp.ClientError:
            failed += 1
            return await exchanged(http, pair.b, refresh_token)
        answered += 1
        if answered == 5:
            await asyncio.to_thread(victim.kill)
        return tokens

    asked = [shared] * 50 + others * 5
    answers = await asyncio.gather(*(client(tokens["refresh_token"], victim) for tokens in asked))
    assert answered + failed == len(asked)
    assert len(pairs_of(answers[:50])) == 1
    for number in range(len(others)):
        assert len(pairs_of(answers[50 + number :: len(others)])) == 1
    assert await generations_of(http, pair.b, "killed") == [2] * 11
    for tokens in answers:
        assert await status_of(http, pair.b, tokens) == 200
    await exchanged(http, pair.a, answers[0]["refresh_token"])


@only_redis
async def test_when_the_reply_to_a_commit_is_lost_the_client_gets_its_pair_all_the_same(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C101"""
    async with lossy_relay(pair.server.port) as relay:
        state = {"url": f"redis://127.0.0.1:{relay.port}", "timeout": 5}
        gateway = await asyncio.to_thread(lambda: pair.fleet.start(state=state))
        old = opened(pair.a.url, sub="lost reply")
        relay.lose()
        new = await exchanged(http, gateway, old["refresh_token"])
        assert relay.taken.is_set()
        again = await exchanged(http, pair.b, old["refresh_token"])
        assert pairs_of([again]) == pairs_of([new])
        assert await generations_of(http, pair.b, "lost reply") == [2]
        await asyncio.to_thread(gateway.kill)


@only_redis
async def test_when_a_gateway_dies_between_commit_and_answer_another_gives_the_pair(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C102"""
    async with lossy_relay(pair.server.port) as relay:
        state = {"url": f"redis://127.0.0.1:{relay.port}", "timeout": 30}
        gateway = await asyncio.to_thread(lambda: pair.fleet.start(state=state))
        old = opened(pair.a.url, sub="dead")
        relay.hold()
        asked = asyncio.create_task(exchange(http, gateway, old["refresh_token"]))
        async with asyncio.timeout(PATIENCE):
            await relay.taken.wait()
        await asyncio.to_thread(gateway.kill)
        with pytest.raises(aiohttp.ClientError):
            await asked
        assert await generations_of(http, pair.b, "dead") == [2]
        answers = [await exchanged(http, each, old["refresh_token"]) for each in (pair.b, pair.a, pair.b)]
        assert len(pairs_of(answers)) == 1
        assert await generations_of(http, pair.b, "dead") == [2]


# --- over here, over everywhere


async def test_a_logout_holds_at_once_here_and_soon_at_the_other_gateway(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C118"""
    hers, his = opened(pair.a.url, sub="alice"), opened(pair.a.url, sub="bob")
    for gateway in (pair.a, pair.b):
        assert await status_of(http, gateway, hers) == 200
        assert await status_of(http, gateway, his) == 200
    assert await log_out(http, pair.a, hers) == 204
    assert await status_of(http, pair.a, hers) == 401
    await becomes(http, pair.b, hers, 401)
    for gateway in (pair.a, pair.b):
        assert await is_refused(http, gateway, hers["refresh_token"])
        assert await status_of(http, gateway, his) == 200


async def test_an_administrator_ends_all_sessions_of_a_subject_everywhere(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C120"""
    hers = [opened(gateway.url, sub="carol") for gateway in (pair.a, pair.b, pair.a)]
    his = opened(pair.a.url, sub="dave")
    assert await end_subject(http, pair.a, "carol") == 3
    for tokens in hers:
        assert await status_of(http, pair.a, tokens) == 401
        await becomes(http, pair.b, tokens, 401)
        assert await is_refused(http, pair.b, tokens["refresh_token"])
    assert await status_of(http, pair.b, his) == 200
    assert await sessions_of(http, pair.b, "carol") == []


async def test_what_is_revoked_at_one_gateway_is_refused_by_the_other(pair: Pair, http: aiohttp.ClientSession) -> None:
    """C186"""
    tokens = opened(pair.a.url)
    assert await status_of(http, pair.b, tokens) == 200
    form = {"token": tokens["access_token"], "client_id": "web"}
    async with http.post(f"{pair.a.url}/oauth/revoke", data=form) as response:
        assert response.status == 200
    assert await status_of(http, pair.a, tokens) == 401
    await becomes(http, pair.b, tokens, 401)
    assert await status_of(http, pair.b, await exchanged(http, pair.b, tokens["refresh_token"])) == 200


async def test_a_websocket_at_one_gateway_ends_with_a_logout_at_the_other(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    hers, his = opened(pair.a.url, sub="alice"), opened(pair.a.url, sub="bob")
    url = pair.b.url.replace("http", "ws") + "/api/ws"
    options = [
        {"additional_headers": {"Authorization": f"Bearer {tokens['access_token']}"}, "close_timeout": 0.1}
        for tokens in (hers, his)
    ]
    async with connect(url, **options[0]) as to_her, connect(url, **options[1]) as to_him:
        assert [await to_her.recv(), await to_him.recv()] == ["hello", "hello"]
        assert await log_out(http, pair.a, hers) == 204
        async with asyncio.timeout(PATIENCE):
            await to_her.wait_closed()
        assert to_him.state is State.OPEN


@only_redis
async def test_a_session_whose_record_is_deleted_by_hand_is_over(pair: Pair, http: aiohttp.ClientSession) -> None:
    """C121"""
    tokens = opened(pair.a.url)
    keys = pair.server.run("KEYS", f"*{claims_of(tokens)['sid']}*")
    assert len(keys) == 1
    pair.server.run("DEL", *keys)
    for gateway in (pair.a, pair.b):
        assert await is_refused(http, gateway, tokens["refresh_token"])


@only_redis
async def test_a_gateway_whose_news_were_trimmed_reads_everything_again_and_misses_nothing(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C185"""
    sessions = [opened(pair.a.url, sub=f"trimmed {number}") for number in range(20)]
    name, labels = "gateway_revocation_resyncs_total", {"cause": "trimmed"}
    before = pair.b.metric(name, **labels)
    pair.b.pause()
    try:
        for tokens in sessions:
            assert await log_out(http, pair.a, tokens) == 204
        [news] = pair.server.run("KEYS", "*:news")
        pair.server.run("XTRIM", news, "MAXLEN", 0)
    finally:
        pair.b.resume()
    for tokens in sessions:
        await becomes(http, pair.b, tokens, 401)
    assert pair.b.metric(name, **labels) == before + 1


@only_redis
async def test_a_new_gateway_serves_nobody_before_it_knows_all_revocations(
    pair: Pair, http: aiohttp.ClientSession
) -> None:
    """C187"""
    good, over = opened(pair.a.url), opened(pair.a.url)
    assert await log_out(http, pair.a, over) == 204
    pair.server.pause()
    try:
        new = pair.fleet.launch(state={**pair.fleet.state, "timeout": QUICK})
        await asyncio.to_thread(new.wait_until, lambda: new.events("listening"), "listening")
        assert new.readiness() == 503
        for tokens in (good, over):
            assert await status_of(http, new, tokens) == 503
            assert await status_of(http, new, tokens, "/open/x") == 503
        assert (await exchange(http, new, good["refresh_token"]))[0] == 503
    finally:
        pair.server.resume()
    await asyncio.to_thread(new.until_ready)
    assert [await status_of(http, new, tokens) for tokens in (good, over)] == [200, 401]
    await asyncio.to_thread(new.kill)


@only_redis
async def test_nobody_notices_that_keys_are_rotated(pair: Pair, http: aiohttp.ClientSession) -> None:
    old = opened(pair.a.url, sub="rotated")
    first = await exchanged(http, pair.a, old["refresh_token"])
    pair.fleet.run("keys", "rotate", "keys.json", "--now")
    pair.fleet.run("keys", "rotate", "keys.json", "--now", "--refresh")
    for gateway in (pair.a, pair.b):
        await asyncio.to_thread(gateway.wait_until, lambda each=gateway: _has_both_keys(each), "aware of the keys")
    repeated = [await exchanged(http, gateway, old["refresh_token"]) for gateway in (pair.a, pair.b)]
    assert pairs_of(repeated) == pairs_of([first])
    second = await exchanged(http, pair.b, first["refresh_token"])
    again = await exchanged(http, pair.a, first["refresh_token"])
    assert pairs_of([again]) == pairs_of([second])
    assert kid_of(second) != kid_of(first)
    for gateway in (pair.a, pair.b):
        assert await status_of(http, gateway, first) == 200
        assert await status_of(http, gateway, second) == 200
        async with http.get(f"{gateway.url}/.well-known/jwks.json") as response:
            assert {kid_of(first), kid_of(second)} == {key["kid"] for key in (await response.json())["keys"]}


def _has_both_keys(gateway: GatewayProcess) -> bool:
    return any(len(event["kids"]) == len(event["refresh_kids"]) == 2 for event in gateway.events("keys_reloaded"))


# --- what becomes of the store


@pytest.mark.parametrize("is_killed", [False, True], ids=["paused", "killed"])
async def test_while_redis_is_away_tokens_are_good_and_nobody_is_logged_out(
    tmp_path: Path, house: Path, echo: str, http: aiohttp.ClientSession, is_killed: bool
) -> None:
    """C100"""
    with server_of(tmp_path / "redis", appendonly="yes", appendfsync="always") as redis:
        state = {"url": f"redis://127.0.0.1:{redis.port}", "timeout": QUICK}
        with fleet(tmp_path / "fleet", house, state, echo) as ships:
            gateway = await asyncio.to_thread(ships.start)
            tokens, leaving = [await _opened_patiently(gateway) for _ in range(2)]
            assert await status_of(http, gateway, tokens) == 200
            redis.kill() if is_killed else redis.pause()
            await _check_that_it_is_away(http, gateway, tokens)
            assert await log_out(http, gateway, leaving) == 503
            assert await status_of(http, gateway, leaving) == 401
            redis.start() if is_killed else redis.resume()

            async def is_back() -> bool:
                return (await exchange(http, gateway, tokens["refresh_token"]))[0] == 200

            await eventually(is_back)

            async def is_logged_out() -> bool:
                return await is_refused(http, gateway, leaving["refresh_token"])

            await eventually(is_logged_out)


async def _check_that_it_is_away(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "web"}
    for _ in range(3):
        async with http.post(f"{gateway.url}/oauth/token", data=form) as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
            assert (await response.json())["error"] == "temporarily_unavailable"
        assert await status_of(http, gateway, tokens) == 200
        assert gateway.readiness() == 200


async def _opened_patiently(gateway: GatewayProcess) -> Tokens:
    """Open a session even if a quick deadline is missed, because the machine is busy."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await asyncio.to_thread(opened, gateway.url)
        except OSError:
            assert time.monotonic() < end


async def test_a_thousand_revocations_survive_the_loss_of_everything_in_redis(
    tmp_path: Path, house: Path, echo: str
) -> None:
    """C184"""
    with server_of(tmp_path / "redis") as redis:
        state = {"url": f"redis://127.0.0.1:{redis.port}", "timeout": 5}
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector) as http:
          with fleet(tmp_path / "fleet", house, state, echo) as ships:
            alive = await asyncio.to_thread(ships.start)
            crowd = await _crowd(http, alive, 1000)
            for number in range(10):
                assert await end_subject(http, alive, f"user{number}") == 100
            revoked = redis.run("KEYS", "*:revoked")[0]
            assert redis.run("HLEN", revoked) >= 1000
            redis.run("FLUSHALL")
            await asyncio.to_thread(wait_until, lambda: redis.run("HLEN", revoked) >= 1000, PATIENCE)
            fresh = await asyncio.to_thread(ships.start)
            for gateway in (alive, fresh):
                statuses = await asyncio.gather(*(status_of(http, gateway, tokens) for tokens in crowd))
                assert set(statuses) == {401}
            assert alive.metric("gateway_revocations_restored_total") >= 1000
            assert await status_of(http, fresh, opened(alive.url)) == 200


async def _crowd(http: aiohttp.ClientSession, gateway: GatewayProcess, size: int) -> list[Tokens]:
    """Open sessions, a hundred for each user."""
    headers = {"Authorization": BACKEND}
    few = asyncio.Semaphore(20)

    async def one(number: int) -> Tokens:
        body = {"sub": f"user{number // 100}", "client_id": "web"}
        async with few, http.post(f"{gateway.url}/auth/sessions", json=body, headers=headers) as response:
            status, tokens = await answer_of(response)
            assert status == 201, tokens
            return tokens

    return await asyncio.gather(*(one(number) for number in range(size)))


async def test_a_primary_that_lost_its_replicas_gives_news_that_get_too_old(
    tmp_path: Path, house: Path, echo: str, http: aiohttp.ClientSession
) -> None:
    """C188"""
    with server_of(tmp_path / "primary", min_replicas_to_write="1", repl_diskless_sync_delay="0") as primary:
        with server_of(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}") as replica:
            wait_until(lambda: primary.run("INFO", "replication")["min_slaves_good_slaves"] == 1)
            state = {"url": f"redis://127.0.0.1:{primary.port}", "timeout": 5}
            stale = {"revocation": {"max_staleness": 3}}
            with fleet(tmp_path / "fleet", house, state, echo, changes=stale) as ships:
                gateway = await asyncio.to_thread(ships.start)
                tokens = opened(gateway.url)
                await becomes(http, gateway, tokens, 200)
                replica.kill()
                await becomes(http, gateway, tokens, 503)
                assert primary.run("PING")
                assert (await exchange(http, gateway, tokens["refresh_token"]))[0] == 503
                assert gateway.readiness() == 200
                replica.start()
                await becomes(http, gateway, tokens, 200)

                async def is_back() -> bool:
                    return (await exchange(http, gateway, tokens["refresh_token"]))[0] == 200

                await eventually(is_back)
