"""Two gateways as processes on one store: what one does holds for both, whoever of them dies."""

import asyncio
from functools import partial

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.protocol import State

from tests.clients.asking import (
    Tokens,
    becomes,
    claims_of,
    end_subject,
    exchange,
    exchanged,
    exchanges,
    generations_of,
    is_refused,
    kid_of,
    log_out,
    pairs_of,
    sessions_of,
    status_of,
)
from tests.clients.conftest import QUICK, Pair
from tests.clients.lossy import lossy_relay
from tests.clients.processes import PATIENCE, GatewayProcess, opened

only_redis = pytest.mark.parametrize("pair", ["redis"], indirect=True)


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

    async def retry(refresh_token: str, gateway: GatewayProcess) -> Tokens:
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
    answers = await asyncio.gather(*(retry(tokens["refresh_token"], victim) for tokens in asked))
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
    async with greeted(pair.b, hers) as to_her, greeted(pair.b, his) as to_him:
        assert [await to_her.recv(), await to_him.recv()] == ["hello", "hello"]
        assert await log_out(http, pair.a, hers) == 204
        async with asyncio.timeout(PATIENCE):
            await to_her.wait_closed()
        assert to_him.state is State.OPEN


def greeted(gateway: GatewayProcess, tokens: Tokens) -> connect:
    url = gateway.url.replace("http", "ws") + "/api/ws"
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return connect(url, additional_headers=headers, close_timeout=0.1)


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
        await asyncio.to_thread(gateway.wait_until, partial(_has_both_keys, gateway), "aware of the keys")
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
