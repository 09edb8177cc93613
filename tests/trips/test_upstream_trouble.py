"""Targets that fail requests and are ejected, circuits that open, retries and their budget, and nobody else suffers."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.trips.certificates import make_authority
from tests.trips.running import Running, get, request, reserved_port, running
from tests.trips.test_upstreams import full_backlog, saying
from tests.trips.wire import OK, Script, Upstream, UpstreamWire, answering, ask, connected, eventually, upstream

DEADLINE = 20.0
A, B = OK.replace(b"ok", b"aa"), OK.replace(b"ok", b"bb")


def metric(gateway: Running, name: str, label: str = "app") -> float:
    """Return a number about the upstream `app` that Prometheus would see."""
    lines = gateway.gateway.metrics.render(None)[0].decode().splitlines()
    [line] = [each for each in lines if each.startswith(name) and 'upstream="app"' in each and f'"{label}"' in each]
    return float(line.rpartition(" ")[2])


def events(capfd: pytest.CaptureFixture[str], *names: str) -> list[dict[str, object]]:
    """Return what operators were told of that since the last time, without the times."""
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    kept = ("event", "upstream", "target", "error", "seconds")
    return [{key: line[key] for key in kept if key in line} for line in lines if line["event"] in names]


async def asked(gateway: Running, number: int, path: str = "/open/x") -> list[tuple[int, bytes]]:
    """Ask one after the other, on one connection."""
    async with connected(gateway.port) as client:
        answers = [await client.ask(get(path)) for _ in range(number)]
    return [(answer.status, answer.body) for answer in answers]


# --- ejection


async def test_a_dead_target_is_ejected_and_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    dead = f"http://127.0.0.1:{port}"
    text = "app: {ejection: {failures: 2, time: 0.3}}\nlog: {level: info}"
    async with upstream(answering(A)) as alive, running(tmp_path, text, alive.url, dead) as gateway:
        assert await asked(gateway, 20) == [(200, b"aa")] * 20
        assert metric(gateway, "gateway_upstream_connects_total", "refused") == 2
        assert metric(gateway, "gateway_upstream_retries_total", "connect") == 2
        assert metric(gateway, "gateway_upstream_target_healthy", dead) == 0
        assert metric(gateway, "gateway_upstream_target_healthy", alive.url) == 1
        assert metric(gateway, "gateway_upstream_ejections_total", dead) == 1
        async with upstream(answering(B), port=port):
            async with asyncio.timeout(DEADLINE):
                while (200, b"bb") not in await asked(gateway, 2):
                    await asyncio.sleep(0.05)
            assert metric(gateway, "gateway_upstream_target_healthy", dead) == 1
    seen = events(capfd, "target_ejected", "target_returned")
    assert seen[0] == {
        "event": "target_ejected",
        "upstream": "app",
        "target": dead,
        "error": "upstream_unreachable",
        "seconds": 0.3,
    }
    assert {"event": "target_returned", "upstream": "app", "target": dead} in seen


BAD: dict[str, tuple[Script, str]] = {
    "a status of its own": (answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), "status 503"),
    "closed": (saying(), "upstream_closed"),
    "reset": (saying(reset=True), "upstream_closed"),
    "half a head": (saying(b"HTTP/1.1 200 OK\r\nContent-"), "upstream_closed"),
    "malformed": (saying(b"hello\r\n\r\n"), "upstream_malformed"),
    "silent": (saying(then_close=False), "first_byte_timeout"),
}


@pytest.mark.parametrize(("script", "error"), BAD.values(), ids=BAD.keys())
async def test_what_a_target_can_do_wrong_ejects_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], script: Script, error: str
) -> None:
    text = (
        "app: {ejection: {failures: 2}, timeouts: {first_byte: 0.1}, retries: {unanswered: false}}\nlog: {level: info}"
    )
    async with (
        upstream(script) as bad,
        upstream(answering(A)) as good,
        running(tmp_path, text, bad.url, good.url) as gateway,
    ):
        answers = await asked(gateway, 9)
        assert len(bad.requests) == 2
        assert answers.count((200, b"aa")) == 7
        assert metric(gateway, "gateway_upstream_target_healthy", bad.url) == 0
    [seen] = events(capfd, "target_ejected")
    assert (seen["target"], seen["error"], seen["seconds"]) == (bad.url, error, 10)


async def test_statuses_of_the_application_do_not_eject(tmp_path: Path) -> None:
    bad = answering(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    async with (
        upstream(bad) as first,
        upstream(bad) as second,
        running(tmp_path, "app: {ejection: {failures: 1}}", first.url, second.url) as gateway,
    ):
        await asked(gateway, 10)
        assert (len(first.requests), len(second.requests)) == (5, 5)


async def test_an_upgrade_is_an_answer_too(tmp_path: Path) -> None:
    """A target that serves WebSockets well fails in a row only if none was opened in between."""

    async def script(wire: UpstreamWire) -> None:
        if (await wire.request()).one("upgrade") is None:
            await wire.send(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        else:
            await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            await wire.closed()

    text = """
    routes: [{id: open, match: {path: "/**"}, upstream: app, access: public, upgrades: [x]}]
    app: {ejection: {failures: 2}}
    """
    async with (
        upstream(script) as first,
        upstream(script) as second,
        running(tmp_path, text, first.url, second.url) as gateway,
    ):
        for headers, status in (((), 503), (("Connection: Upgrade", "Upgrade: x"), 101)) * 3:
            for _ in range(2):
                async with connected(gateway.port) as client:
                    await client.send(get("/x", *headers))
                    assert (await client.head()).status == status
        assert (len(first.requests), len(second.requests)) == (6, 6)


async def test_the_last_target_is_never_ejected(tmp_path: Path) -> None:
    """Whoever is left gets all requests, however bad it is: half an answer is better than none."""
    bad = answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1\r\n\r\nx")
    async with (
        upstream(bad) as first,
        upstream(bad) as second,
        running(tmp_path, "app: {ejection: {failures: 1}}", first.url, second.url) as gateway,
    ):
        assert await asked(gateway, 10) == [(503, b"x")] * 10
        assert sorted((len(first.requests), len(second.requests))) == [1, 9]


async def test_where_all_are_ejected_all_get_requests(tmp_path: Path) -> None:
    bad = answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1\r\n\r\nx")
    async with (
        upstream(bad) as first,
        upstream(bad) as second,
        running(tmp_path, "app: {ejection: {failures: 1, most: 100}}", first.url, second.url) as gateway,
    ):
        assert await asked(gateway, 10) == [(503, b"x")] * 10
        assert (len(first.requests), len(second.requests)) == (5, 5)
        assert metric(gateway, "gateway_upstream_target_healthy", first.url) == 0


async def test_a_client_cannot_have_a_target_ejected_by_being_slow(tmp_path: Path) -> None:
    """An upstream closes when an upload takes too long for it. That is no fault of its own."""

    async def impatient(wire: UpstreamWire) -> None:
        await wire.head()

    async with (
        upstream(impatient) as first,
        upstream(impatient) as second,
        running(tmp_path, "app: {ejection: {failures: 1}}", first.url, second.url) as gateway,
    ):
        for _ in range(6):
            answer = await ask(gateway.port, request("POST", "/open/x", "Content-Length: 9") + b"half")
            assert answer.status == 502
        assert (len(first.heads), len(second.heads)) == (3, 3)


def have_seen(first: Upstream, second: Upstream, number: int) -> bool:
    return len(first.requests) + len(second.requests) == number


async def test_a_client_that_leaves_says_nothing_of_the_target(tmp_path: Path) -> None:
    text = "app: {ejection: {failures: 1}, breaker: {requests: 1}}"
    silent = saying(then_close=False)
    async with (
        upstream(silent) as first,
        upstream(silent) as second,
        running(tmp_path, text, first.url, second.url) as gateway,
    ):
        for number in range(1, 5):
            async with connected(gateway.port) as client:
                await client.send(get("/open/x"))
                await eventually(partial(have_seen, first, second, number))
        await eventually(lambda: gateway.pool() == {"busy": 0, "idle": 0})
        assert (len(first.requests), len(second.requests)) == (2, 2)
        assert metric(gateway, "gateway_upstream_circuit_open") == 0


async def test_who_waits_for_an_ejected_target_gets_another(tmp_path: Path) -> None:
    answers: asyncio.Event = asyncio.Event()

    async def failing(wire: UpstreamWire) -> None:
        await wire.request()
        await answers.wait()

    async def slow(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await answers.wait()
            await wire.send(A)

    text = "app: {connections: 1, ejection: {failures: 1}, retries: {unanswered: false}}"
    async with (
        upstream(failing) as bad,
        upstream(slow) as good,
        running(tmp_path, text, bad.url, good.url) as gateway,
    ):
        waiting = [asyncio.ensure_future(ask(gateway.port, get("/open/x"))) for _ in range(8)]
        await eventually(lambda: bad.requests and good.requests)
        answers.set()
        statuses = [answer.status for answer in await asyncio.gather(*waiting)]
        assert sorted(statuses) == [200] * 7 + [502]
        assert len(bad.requests) == 1


async def test_who_waits_is_not_given_a_connection_to_an_ejected_target(tmp_path: Path) -> None:
    """One request to it fails while another is under way, which is answered later."""
    fails, answers = asyncio.Event(), asyncio.Event()

    async def half_dead(wire: UpstreamWire) -> None:
        await wire.request()
        is_first = len(wire.upstream.requests) == 1
        await (fails if is_first else answers).wait()
        if not is_first:
            await wire.send(B)
            await wire.closed()

    async def slow(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await answers.wait()
            await wire.send(A)

    text = "app: {connections: 2, ejection: {failures: 1}, retries: {unanswered: false}}"
    async with (
        upstream(half_dead) as bad,
        upstream(slow) as good,
        running(tmp_path, text, bad.url, good.url) as gateway,
    ):
        waiting = [asyncio.ensure_future(ask(gateway.port, get("/open/x"))) for _ in range(9)]
        await eventually(lambda: len(bad.requests) == len(good.requests) == 2)
        fails.set()
        await eventually(lambda: metric(gateway, "gateway_upstream_target_healthy", bad.url) == 0)
        answers.set()
        seen = sorted((answer.status, answer.body) for answer in await asyncio.gather(*waiting) if answer.status < 500)
        assert seen == [(200, b"aa")] * 7 + [(200, b"bb")]
        assert len(bad.requests) == 2


# --- the circuit breaker


async def test_a_circuit_opens_and_closes_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    text = "app: {breaker: {requests: 4, open: 0.5}}\nlog: {level: info}"
    async with running(tmp_path, text, f"http://127.0.0.1:{port}") as gateway, connected(gateway.port) as client:
        assert [(await client.ask(get("/open/x"))).status for _ in range(4)] == [502] * 4
        refused = await client.ask(get("/open/x"))
        assert (refused.status, refused.one("Retry-After")) == (503, "1")
        assert gateway.decisions("open") == {"upstream_unreachable": 4, "circuit_open": 1}
        assert metric(gateway, "gateway_upstream_connects_total", "refused") == 4
        assert metric(gateway, "gateway_upstream_circuit_open", "app") == 1
        async with upstream(port=port):
            async with asyncio.timeout(DEADLINE):
                while (await client.ask(get("/open/x"))).status != 200:
                    await asyncio.sleep(0.05)
            assert await asked(gateway, 9) == [(200, b"ok")] * 9
        assert metric(gateway, "gateway_upstream_circuit_open", "app") == 0
    seen = [event["event"] for event in events(capfd, "circuit_opened", "circuit_closed")]
    assert seen == ["circuit_opened", "circuit_closed"]


async def test_an_open_circuit_refuses_also_those_who_wait(tmp_path: Path) -> None:
    text = "app: {connections: 1, timeouts: {first_byte: 0.1, connect: 30}, breaker: {requests: 1, open: 30}}"
    async with upstream(saying(then_close=False)) as app, running(tmp_path, text, app.url) as gateway:
        answers = await asyncio.gather(*(ask(gateway.port, get("/open/x")) for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [503] * 5 + [504]
        assert gateway.decisions("open") == {"circuit_open": 5, "first_byte_timeout": 1}
        assert len(app.requests) == 1


async def test_answers_of_the_application_do_not_open_a_circuit(tmp_path: Path) -> None:
    bad = answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1\r\n\r\nx")
    async with upstream(bad) as app, running(tmp_path, "app: {breaker: {requests: 1}}", app.url) as gateway:
        assert await asked(gateway, 9) == [(503, b"x")] * 9


async def test_what_another_target_has_answered_does_not_open_a_circuit(tmp_path: Path) -> None:
    async def hang_up(wire: UpstreamWire) -> None:
        await wire.request()

    text = "app: {ejection: never, breaker: {requests: 4, share: 0.2}}"
    async with upstream(hang_up) as bad, upstream() as good, running(tmp_path, text, bad.url, good.url) as gateway:
        for _ in range(20):
            assert (await ask(gateway.port, get("/open/x"))).status == 200
        assert len(bad.requests) > 4


async def test_only_so_many_requests_are_under_way_at_once(tmp_path: Path) -> None:
    async with (
        upstream(saying(then_close=False)) as app,
        running(tmp_path, "app: {requests: 2}", app.url) as gateway,
        connected(gateway.port) as first,
        connected(gateway.port) as second,
    ):
        await first.send(get("/open/x"))
        await second.send(get("/open/x"))
        await eventually(lambda: len(app.requests) == 2)
        refused = await ask(gateway.port, get("/open/x"))
        assert (refused.status, refused.one("Retry-After")) == (503, "1")
        assert gateway.decisions("open") == {"upstream_saturated": 1}


# --- retries


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_what_was_not_answered_is_asked_elsewhere(tmp_path: Path, method: str) -> None:
    ok = OK[:-2] if method == "HEAD" else OK
    async with (
        upstream(saying()) as dead,
        upstream(answering(ok)) as alive,
        running(tmp_path, "app: {ejection: never}", dead.url, alive.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert [(await client.ask(request(method, "/open/x"))).status for _ in range(6)] == [200] * 6
        assert (len(dead.requests), len(alive.requests)) == (3, 6)
        assert metric(gateway, "gateway_upstream_retries_total", "unanswered") == 3


NEVER: dict[str, tuple[bytes, Script]] = {
    "a POST": (request("POST", "/open/x"), saying()),
    "a PATCH": (request("PATCH", "/open/x"), saying()),
    "a PUT with a body": (request("PUT", "/open/x", body=b"abc"), saying()),
    "after a part of the head": (get("/open/x"), saying(b"HTTP/1.1 200")),
    "after an interim answer": (get("/open/x"), saying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")),
    "after the head": (get("/open/x"), saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
    "after garbage": (get("/open/x"), saying(b"hello\r\n\r\n")),
}


@pytest.mark.parametrize(("data", "script"), NEVER.values(), ids=NEVER.keys())
async def test_what_may_have_been_acted_upon_is_never_asked_twice(tmp_path: Path, data: bytes, script: Script) -> None:
    async with (
        upstream(script) as first,
        upstream(script) as second,
        running(tmp_path, "app: {ejection: never}", first.url, second.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(data)
        await eventually(lambda: gateway.decisions("open"), DEADLINE)
        assert len(first.requests) + len(second.requests) == 1
        for kind in ("stale", "unanswered", "connect"):
            assert metric(gateway, "gateway_upstream_retries_total", kind) == 0


async def test_an_interim_answer_on_a_used_connection_forbids_another_try(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await asyncio.sleep(0.02)

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/x"))).status == 200
        assert (await client.ask(get("/open/x"))).status == 103
        assert (await client.answer()).status == 502
        assert len(app.requests) == 2


async def test_retries_cannot_become_a_storm(tmp_path: Path) -> None:
    """Both targets close every connection without an answer: the budget is spent, and then nothing is tried again."""
    text = "app: {ejection: never, retries: {budget: 0.25, at_least: 0}}"
    async with (
        upstream(saying()) as first,
        upstream(saying()) as second,
        running(tmp_path, text, first.url, second.url) as gateway,
    ):
        assert [status for status, _ in await asked(gateway, 41)] == [502] * 41
        retried = metric(gateway, "gateway_upstream_retries_total", "unanswered")
        assert retried == 11  # the one at hand, and a quarter
        assert metric(gateway, "gateway_upstream_retries_refused_total", "app") == 30
        assert len(first.requests) + len(second.requests) == 41 + retried


async def test_an_idle_connection_makes_room_where_another_target_is_dead(tmp_path: Path) -> None:
    with reserved_port() as port:
        async with (
            upstream(answering(A)) as alive,
            running(
                tmp_path, "app: {connections: 1, ejection: never}", alive.url, f"http://127.0.0.1:{port}"
            ) as gateway,
        ):
            assert await asked(gateway, 10) == [(200, b"aa")] * 10
            assert metric(gateway, "gateway_upstream_retries_total", "connect") == 5
            assert gateway.pool() == {"busy": 0, "idle": 1}


async def test_only_so_many_targets_are_tried(tmp_path: Path) -> None:
    with ExitStack() as ports:
        dead = [f"http://127.0.0.1:{ports.enter_context(reserved_port())}" for _ in range(6)]
        async with running(tmp_path, "app: {ejection: never, retries: {targets: 3}}", *dead) as gateway:
            assert [status for status, _ in await asked(gateway, 2)] == [502] * 2
            assert metric(gateway, "gateway_upstream_connects_total", "refused") == 8
            assert gateway.pool() == {"busy": 0, "idle": 0}


# --- the others


TWO = """
routes:
  - {{id: open, match: {{path: "/open/**"}}, upstream: app, access: public}}
  - {{id: dead, match: {{path: "/dead/**"}}, upstream: dead, access: public}}
upstreams:
  app: {{targets: ["{app}"]}}
  dead: {{targets: ["{dead}"], connections: 8, queue: 8, timeouts: {{connect: 60, first_byte: 60}}}}
"""


async def others_are_served(gateway: Running, is_stuck: Callable[[], object]) -> None:
    """While more requests than `dead` has places for wait, every request to the other upstream is answered."""
    stuck = [asyncio.ensure_future(ask(gateway.port, get("/dead/x"))) for _ in range(16)]
    await eventually(is_stuck, DEADLINE)
    await eventually(lambda: gateway.pool("dead")["busy"] == 8, DEADLINE)
    answers = await asyncio.gather(*(asked(gateway, 20) for _ in range(5)))
    assert answers == [[(200, b"ok")] * 20] * 5
    assert not any(each.done() for each in stuck)
    late = await ask(gateway.port, get("/dead/x"))
    assert (late.status, gateway.decisions("dead")) == (503, {"upstream_saturated": 1})
    for each in stuck:
        each.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    await eventually(lambda: gateway.pool("dead") == {"busy": 0, "idle": 0}, DEADLINE)


async def test_an_upstream_that_never_answers_slows_nobody_else(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        upstream(saying(then_close=False)) as dead,
        running(tmp_path, TWO.format(app=app.url, dead=dead.url)) as gateway,
    ):
        await others_are_served(gateway, lambda: len(dead.requests) == 8)


async def test_an_upstream_that_cannot_be_connected_to_slows_nobody_else(tmp_path: Path) -> None:
    with full_backlog() as port:
        dead = f"http://127.0.0.1:{port}"
        async with upstream() as app, running(tmp_path, TWO.format(app=app.url, dead=dead)) as gateway:
            await others_are_served(gateway, lambda: True)


async def test_an_upstream_that_hangs_in_its_tls_handshake_slows_nobody_else(tmp_path: Path) -> None:
    async def deaf(wire: UpstreamWire) -> None:
        await wire.closed(60)

    async with upstream() as app, upstream(deaf) as dead:
        url = dead.url.replace("http:", "https:")
        async with running(tmp_path, TWO.format(app=app.url, dead=url)) as gateway:
            await others_are_served(gateway, lambda: dead.connections == 8)
            await eventually(lambda: len(dead.gone) == 8, DEADLINE)


async def test_a_name_that_is_never_resolved_slows_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of both are looked up; the resolver answers for one only."""
    released = hold_look_ups(monkeypatch, "dead.example")
    async with upstream() as app:
        text = TWO.format(app=app.url.replace("127.0.0.1", "localhost"), dead="http://dead.example")
        async with running(tmp_path, text) as gateway:
            await others_are_served(gateway, lambda: True)
    released()


def hold_look_ups(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], None]:
    """Have the system's resolver say nothing of a name until the returned function is called."""
    import threading

    release, real = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *rest: object, **options: object) -> object:
        if host == name:
            release.wait(30)
        return real(host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return release.set


# --- connecting


async def test_a_hanging_tls_handshake_is_a_connect_timeout(tmp_path: Path) -> None:
    async def deaf(wire: UpstreamWire) -> None:
        await wire.closed(60)

    async with upstream(deaf) as dead:
        url = dead.url.replace("http:", "https:")
        async with running(tmp_path, "app: {timeouts: {connect: 0.2}}", url) as gateway:
            assert (await ask(gateway.port, get("/open/x"))).status == 504
            assert gateway.decisions("open") == {"connect_timeout": 1}
            assert gateway.pool() == {"busy": 0, "idle": 0}
            await eventually(lambda: dead.gone)


async def test_a_bug_while_connecting_answers_the_request_and_frees_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*rest: object) -> None:
        raise ValueError("a bug")

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    monkeypatch.setattr("gateway.proxy.names.Names.addresses", broken)
    async with running(tmp_path, "", "http://127.0.0.1:9") as gateway:
        assert (await ask(gateway.port, get("/open/x"))).status == 500
        assert gateway.decisions("open") == {"internal_error": 1}
        assert gateway.pool() == {"busy": 0, "idle": 0}
    assert told == ["connecting failed"]


@pytest.mark.parametrize("is_silent", [False, True], ids=["refused", "black-holed"])
async def test_of_several_addresses_one_that_works_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    authority = make_authority(tmp_path)
    with ExitStack() as stack:
        port = stack.enter_context(full_backlog()) if is_silent else free_port()
        real = socket.getaddrinfo
        first, second = ("127.0.0.1", "127.0.0.2") if is_silent else ("127.0.0.2", "127.0.0.1")

        def getaddrinfo(host: str, *rest: object, **options: object) -> object:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in (first, second)]
            return found if host == "localhost" else real(host, *rest, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        listener = stack.enter_context(socket.create_server((second, port)))
        text = f"app: {{tls: {{ca: {authority.file}}}, timeouts: {{connect: 1}}}}"
        server = await asyncio.start_server(_say_ok, sock=listener, ssl=authority.server("localhost"))
        async with server, running(tmp_path, text, f"https://localhost:{port}") as gateway:
            for _ in range(3):
                assert (await ask(gateway.port, get("/open/x"))).status == 200


async def _say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK.replace(b"Content", b"Connection: close\r\nContent"))
    await writer.drain()
    writer.close()
