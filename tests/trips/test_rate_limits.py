"""Rate limits through the real gateway: what clients see, and two gateways that share their counts through Redis."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.state.redis_servers import RedisServer, server_of
from tests.trips.reloading import reloading
from tests.trips.running import Running, get, request, running, token
from tests.trips.session_running import preset, serving
from tests.trips.wire import Message, Upstream, ask, connected, eventually, upstream

SLOW = 20.0
"""Seconds after which a busy machine fails a test."""


def routes(**by_route: list[dict[str, Any]]) -> str:
    """Return routes with limits: `open` is public, `api` wants a token, `maybe` takes one."""
    access = {"open": "public", "maybe": "optional", "api": "protected"}
    return "routes: " + json.dumps(
        [
            {"id": name, "match": {"path": f"/{name}/**"}, "upstream": "app", "access": access[name]}
            | ({"rate_limits": by_route[name]} if name in by_route else {})
            for name in access
        ]
    )


def limit(by: str = "client_address", requests: int = 3, per: str = "1h", **more: Any) -> dict[str, Any]:
    return {"by": by, "requests": requests, "per": per, **more}


@asynccontextmanager
async def limited(directory: Path, text: str) -> AsyncIterator[tuple[Running, Upstream]]:
    async with upstream() as app, running(directory, text, app.url) as gate:
        yield gate, app


async def statuses(gate: Running, *requests: bytes) -> list[int]:
    return [(await ask(gate.port, each)).status for each in requests]


async def test_beyond_the_limit_the_upstream_sees_nothing_and_the_client_learns_when_to_come_back(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, routes(open=[limit()])) as (gate, app):
        assert await statuses(gate, *[get("/open/x")] * 3) == [200] * 3
        refused = await ask(gate.port, get("/open/x"))
        assert refused.status == 429
        assert refused.one("Retry-After") == "1200"
        assert refused.one("Cache-Control") == "no-store"
        assert json.loads(refused.body)["error"] == "too_many_requests"
        assert len(app.requests) == 3
        assert gate.decisions("open") == {"allow": 3, "rate_limited": 1}
        exposition = gate.gateway.metrics.scrape().render(None)[0].decode()
        assert "gateway_rate_limit_keys 1.0" in exposition
        assert "gateway_rate_limit_forgotten_total 0.0" in exposition


async def test_after_the_seconds_it_was_told_a_request_passes(tmp_path: Path) -> None:
    async with limited(tmp_path, routes(open=[limit(requests=1, per="1s")])) as (gate, _):
        assert (await ask(gate.port, get("/open/x"))).status == 200
        refused = await ask(gate.port, get("/open/x"))
        assert refused.status == 429
        await asyncio.sleep(int(refused.one("Retry-After") or ""))
        assert (await ask(gate.port, get("/open/x"))).status == 200


async def test_a_refused_request_leaves_the_connection_as_good_as_it_was(tmp_path: Path) -> None:
    async with limited(tmp_path, routes(open=[limit(requests=1)])) as (gate, _), connected(gate.port) as client:
        assert (await client.ask(request("POST", "/open/x", body=b"one"))).status == 200
        assert (await client.ask(request("POST", "/open/x", body=b"two"))).status == 429
        assert (await client.ask(get("/maybe/x"))).status == 200


async def test_each_pipelined_request_counts(tmp_path: Path) -> None:
    async with limited(tmp_path, routes(open=[limit()])) as (gate, _), connected(gate.port) as client:
        await client.send(get("/open/x") * 5)
        assert [(await client.answer()).status for _ in range(5)] == [200, 200, 200, 429, 429]


async def test_a_flood_of_bad_tokens_gets_429_and_good_callers_elsewhere_are_not_hurt(tmp_path: Path) -> None:
    text = 'trusted_proxies: ["127.0.0.0/8"]\n' + routes(api=[limit()])
    async with limited(tmp_path, text) as (gate, _):
        flood = [get("/api/x", "X-Forwarded-For: 203.0.113.9", bearer=f"junk{number}") for number in range(5)]
        assert await statuses(gate, *flood) == [401, 401, 401, 429, 429]
        assert await statuses(gate, get("/api/x", "X-Forwarded-For: 203.0.113.10", bearer=token())) == [200]


async def test_subjects_and_clients_are_counted_by_their_tokens(tmp_path: Path) -> None:
    limits = [limit("subject", 2), limit("client_id", 3)]
    async with limited(tmp_path, routes(api=limits)) as (gate, _):
        alice, bob, carol = (token(sub=name, client_id="app") for name in ("alice", "bob", "carol"))
        asked = [get("/api/x", bearer=each) for each in (alice, alice, alice, bob, bob, carol)]
        assert await statuses(gate, *asked) == [200, 200, 429, 200, 429, 429]


async def test_limits_of_the_configuration_hold_on_every_route_that_does_not_say_otherwise(tmp_path: Path) -> None:
    text = "rate_limits: " + json.dumps([limit(requests=1), limit("subject", 1)]) + "\n" + routes(maybe=[])
    async with limited(tmp_path, text) as (gate, _):
        assert await statuses(gate, *[get("/open/x")] * 2) == [200, 429]
        assert await statuses(gate, *[get("/maybe/x", bearer=token())] * 3) == [200] * 3
        assert await statuses(gate, *[get("/api/x", bearer=token())] * 2) == [200, 429]


async def test_a_page_of_another_origin_may_read_why_it_was_refused(tmp_path: Path) -> None:
    text = 'cors: {origins: ["https://app.example"]}\n' + routes(open=[limit(requests=1)])
    async with limited(tmp_path, text) as (gate, _):
        preflight = request("OPTIONS", "/open/x", "Origin: https://app.example", "Access-Control-Request-Method: GET")
        assert await statuses(gate, *[preflight] * 3) == [204] * 3
        answers = [await ask(gate.port, get("/open/x", "Origin: https://app.example")) for _ in range(2)]
        assert answers[1].status == 429
        assert answers[1].one("Access-Control-Allow-Origin") == "https://app.example"
        assert "Retry-After" in (answers[1].one("Access-Control-Expose-Headers") or "")


async def test_the_gateways_own_endpoints_have_limits_of_their_own(tmp_path: Path) -> None:
    """And none by default: limits made for an API must not log anybody out."""
    changes = {
        "rate_limits": [limit(requests=1)],
        "sessions": {"rate_limits": [limit(requests=4)]},
    }
    async with serving(tmp_path, preset("seed3"), changes=changes) as gate:
        pair = await gate.log_in()
        for _ in range(3):
            await gate.log_in()
        assert (await gate.try_login()).status == 429
        assert (await gate.exchange(pair["refresh_token"])).status == 200
        assert {(await gate.ask(get("/.well-known/jwks.json"))).status for _ in range(6)} == {200}


async def test_a_reload_keeps_the_counts_of_limits_that_stay_the_same(tmp_path: Path) -> None:
    async with upstream() as app, reloading(tmp_path, routes(open=[limit()]), app.url) as gate:
        assert await statuses(gate, *[get("/open/x")] * 2) == [200, 200]
        await gate.change(routes(open=[limit(), limit("client_address", 50, "1s")], api=[limit()]))
        assert await statuses(gate, *[get("/open/x")] * 2) == [200, 429]
        await gate.change(routes(open=[limit(requests=2)]), limits={"rate_keys": 500})
        assert await statuses(gate, *[get("/open/x")] * 3) == [200, 200, 429]
        await gate.change(routes())
        assert await statuses(gate, *[get("/open/x")] * 9) == [200] * 9


# --- shared through Redis


STATE = """
log: {{level: error}}
trusted_proxies: ["127.0.0.0/8"]
state: {{url: "redis://127.0.0.1:{port}", timeout: 300ms}}
"""


@asynccontextmanager
async def two_gateways(
    directory: Path, redis: RedisServer, limits: list[dict[str, Any]]
) -> AsyncIterator[list[Running]]:
    """Run two gateways that share a Redis."""
    text = STATE.format(port=redis.port) + routes(open=limits)
    directories = [directory / name for name in ("one", "two")]
    for each in directories:
        each.mkdir()
    async with (
        upstream() as app,
        running(directories[0], text, app.url) as one,
        running(directories[1], text, app.url) as two,
    ):
        yield [one, two]


def exchanges(gate: Running, result: str = "ok") -> float:
    """Return how often a gateway has exchanged its counts, with this result."""
    exposition = gate.gateway.metrics.scrape().render(None)[0].decode()
    lines = [line for line in exposition.splitlines() if f'exchanges_total{{result="{result}"' in line]
    lines = [line for line in lines if line.startswith("gateway_rate_limit")]
    return float(lines[0].split()[-1]) if lines else 0


async def until(condition: Callable[[], object]) -> None:
    await eventually(condition, SLOW)


async def passed(gate: Running, requests: int) -> int:
    """Return how many of some requests pass."""
    return Counter(await statuses(gate, *[get("/open/x")] * requests))[200]


async def test_two_gateways_let_pass_what_one_may(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with two_gateways(tmp_path, redis, [limit(requests=20, shared=True)]) as (one, two):
            assert await passed(one, 15) == 15
            await until(lambda: exchanges(one) >= 1)
            await asyncio.sleep(0.3)  # the rest is told
            assert await passed(two, 1) == 1
            await until(lambda: exchanges(two) >= 1)
            total = 16
            for _ in range(10):
                total += await passed(one, 1) + await passed(two, 1)
                await asyncio.sleep(0.15)
            assert total <= 20 + 4
            assert await passed(one, 3) + await passed(two, 3) == 0


async def test_at_full_speed_they_let_pass_no_more_than_both_may_in_one_interval(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with two_gateways(tmp_path, redis, [limit(requests=15, shared=True)]) as gates:
            assert sum(await asyncio.gather(*(passed(gate, 25) for gate in gates))) <= 30
            await until(lambda: all(exchanges(gate) for gate in gates))
            assert [await passed(gate, 2) for gate in gates] == [0, 0]


async def test_without_redis_each_counts_alone_and_stays_ready_and_they_find_together_again(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with two_gateways(tmp_path, redis, [limit(requests=10, shared=True)]) as (one, two):
            assert await passed(one, 4) == 4
            await until(lambda: exchanges(one))
            redis.kill()
            assert await passed(one, 10) == 6
            assert await passed(two, 12) == 10
            await until(lambda: exchanges(one, "failed") and exchanges(two, "failed"))
            assert one.gateway.health.ready().is_ok
            assert await passed(one, 3) + await passed(two, 3) == 0
            redis.start()
            before = exchanges(one), exchanges(two)
            end = time.monotonic() + SLOW
            while exchanges(one) == before[0] or exchanges(two) == before[1]:
                assert time.monotonic() < end
                for number, gate in enumerate((one, two)):
                    await _ask_as(gate, f"2001:db8:{number}::1")
                await asyncio.sleep(0.05)
            assert await passed(one, 3) + await passed(two, 3) == 0


async def _ask_as(gate: Running, address: str) -> Message:
    return await ask(gate.port, get("/open/x", f"X-Forwarded-For: {address}"))


async def test_shared_counts_survive_the_restart_of_a_gateway(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        text = STATE.format(port=redis.port) + routes(open=[limit(requests=2, shared=True)])
        async with limited(tmp_path, text) as (gate, _):
            assert await passed(gate, 3) == 2
            await until(lambda: exchanges(gate))
        async with limited(tmp_path, text) as (gate, _):
            assert await passed(gate, 1) == 1  # it has not heard yet
            await until(lambda: exchanges(gate))
            assert await passed(gate, 3) == 0
