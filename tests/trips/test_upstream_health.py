"""Targets that are asked how they are: killed, frozen, lying, coming back."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.ports import free_port
from tests.trips.certificates import make_authority
from tests.trips.running import Running, get, running
from tests.trips.test_upstream_trouble import DEADLINE, A, B, asked, events, metric
from tests.trips.test_upstreams import saying
from tests.trips.wire import OK, Script, UpstreamWire, answering, ask, connected, eventually, upstream

QUICK = "{path: /health, interval: 0.1, timeout: 0.5, failures: 2, successes: 1}"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

_SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"bb")
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def server_process(port: int) -> Iterator[int]:
    """Run a server that answers "bb", and yield its process id."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def is_healthy(gateway: Running, target: str) -> bool:
    return metric(gateway, "gateway_upstream_target_healthy", target) == 1


async def test_a_frozen_target_is_found_and_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its kernel takes connections as before. Only who asks it for something notices."""
    port = free_port()
    frozen = f"http://127.0.0.1:{port}"
    text = f"app: {{health: {QUICK}}}\nlog: {{level: info}}"
    with server_process(port) as pid:
        async with upstream(answering(A)) as alive, running(tmp_path, text, alive.url, frozen) as gateway:
            assert sorted(await asked(gateway, 4)) == [(200, b"aa")] * 2 + [(200, b"bb")] * 2
            os.kill(pid, signal.SIGSTOP)
            await eventually(lambda: not is_healthy(gateway, frozen), DEADLINE)
            assert await asked(gateway, 20) == [(200, b"aa")] * 20
            os.kill(pid, signal.SIGCONT)
            await eventually(lambda: is_healthy(gateway, frozen), DEADLINE)
            assert sorted(await asked(gateway, 4)) == [(200, b"aa")] * 2 + [(200, b"bb")] * 2
    seen = events(capfd, "target_unhealthy", "target_healthy")
    assert {"event": "target_unhealthy", "upstream": "app", "target": frozen} in seen
    assert seen[-1] == {"event": "target_healthy", "upstream": "app", "target": frozen}


async def test_without_a_healthy_target_requests_are_refused_at_once(tmp_path: Path) -> None:
    port = free_port()
    text = f"app: {{health: {QUICK}}}"
    async with running(tmp_path, text, f"http://127.0.0.1:{port}") as gateway, connected(gateway.port) as client:
        await eventually(lambda: not is_healthy(gateway, f"http://127.0.0.1:{port}"), DEADLINE)
        connects = metric(gateway, "gateway_upstream_connects_total", "refused")
        refused = await client.ask(get("/open/x"))
        assert (refused.status, refused.one("Retry-After")) == (503, "5")
        assert gateway.decisions("open") == {"no_healthy_target": 1}
        assert metric(gateway, "gateway_upstream_connects_total", "refused") == connects
        async with upstream(port=port):
            await eventually(lambda: is_healthy(gateway, f"http://127.0.0.1:{port}"), DEADLINE)
            assert (await client.ask(get("/open/x"))).status == 200


async def test_who_waits_for_the_last_healthy_target_is_refused_when_it_is_gone(tmp_path: Path) -> None:
    async def stuck(wire: UpstreamWire) -> None:
        request = await wire.request()
        if request.target == "/health":
            await wire.send(b"HTTP/1.1 500 No\r\n\r\n")
        else:
            await wire.closed(DEADLINE)

    text = f"app: {{connections: 1, timeouts: {{connect: 60}}, health: {QUICK}}}"
    async with upstream(stuck) as app, running(tmp_path, text, app.url) as gateway:
        first = asyncio.ensure_future(ask(gateway.port, get("/open/x")))
        await eventually(lambda: any(each.target == "/open/x" for each in app.requests), DEADLINE)
        answers = await asyncio.gather(*(ask(gateway.port, get("/open/x")) for _ in range(4)))
        assert [answer.status for answer in answers] == [503] * 4
        assert gateway.decisions("open") == {"no_healthy_target": 4}
        assert not first.done()  # what is under way goes on
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


# --- one check

JUDGED: dict[str, tuple[Script, str, str]] = {
    "no content": (answering(NO_CONTENT), "", "ok"),
    "after an interim answer": (answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + NO_CONTENT), "", "ok"),
    "a head and then nothing": (saying(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", then_close=False), "", "ok"),
    "an endless body": (saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500_000, then_close=False), "", "ok"),
    "one of its statuses": (answering(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), "statuses: [200, 401]", "ok"),
    "none of its statuses": (answering(NO_CONTENT), "statuses: [200, 401]", "status"),
    "a redirect": (answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "", "status"),
    "an error": (answering(b"HTTP/1.1 503 No\r\n\r\n"), "", "status"),
    "nothing": (saying(), "", "failed"),
    "silence": (saying(then_close=False), "", "timeout"),
    "garbage": (saying(b"hello\r\n\r\n", then_close=False), "", "failed"),
    "another protocol": (saying(b"HTTP/2.0 200 OK\r\n\r\n", then_close=False), "", "failed"),
    "an endless head": (saying(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 500_000, then_close=False), "", "failed"),
    "endless interim answers": (saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9, then_close=False), "", "failed"),
}


async def test_answers_are_judged(tmp_path: Path) -> None:
    """Each kind of answer by an upstream of its own, all at once."""
    async with AsyncExitStack() as stack:
        upstreams: dict[str, object] = {}
        for name, (script, setting, _) in JUDGED.items():
            server = await stack.enter_async_context(upstream(script))
            health = yaml.safe_load(f"{{path: /, interval: 0.05, timeout: 1, failures: 1, {setting}}}")
            upstreams[name.replace(" ", "-")] = {"targets": [server.url], "health": health}
        text = yaml.safe_dump({"upstreams": {"app": {"targets": ["http://127.0.0.1:9"]}, **upstreams}})
        gateway = await stack.enter_async_context(running(tmp_path, text))
        pools = gateway.gateway.plane.pools
        for name, (_, _, expected) in JUDGED.items():
            pool = pools[name.replace(" ", "-")]
            assert pool.checks is not None
            await eventually(lambda results=pool.checks.results: any(results.values()), DEADLINE)  # type: ignore[misc]
            seen = {result for result, number in pool.checks.results.items() if number}
            assert (name, seen) == (name, {expected})
            assert pool.targets.all[0].is_healthy is (expected == "ok")
            assert pool.targets.all[0].open == set()


@pytest.mark.parametrize(
    ("host", "expected"), [("preserve", "127.0.0.1:{port}"), ("target", "127.0.0.1:{port}"), ("app.example",) * 2]
)
async def test_what_a_check_asks_for(tmp_path: Path, host: str, expected: str) -> None:
    text = f"app: {{host: {host}, health: {{path: '/health?deep=1'}}}}"
    async with upstream(answering(NO_CONTENT)) as app, running(tmp_path, text, app.url):
        await eventually(lambda: app.requests, DEADLINE)
        [asked_for] = app.requests
        assert asked_for.line == "GET /health?deep=1 HTTP/1.1"
        assert asked_for.headers == [
            ("Host", expected.format(port=app.port)),
            ("User-Agent", "gateway-health"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        await eventually(lambda: app.gone)


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_check_trusts_whom_requests_trust(tmp_path: Path, is_trusted: bool) -> None:
    trusted, stranger = make_authority(tmp_path, "trusted"), make_authority(tmp_path, "stranger")
    text = f"app: {{tls: {{ca: {trusted.file}}}, health: {QUICK}}}"
    server = (trusted if is_trusted else stranger).server()
    async with upstream(tls=server) as app, running(tmp_path, text, app.url) as gateway:
        result = "ok" if is_trusted else "failed"
        await eventually(lambda: metric(gateway, "gateway_upstream_health_checks_total", result) >= 2, DEADLINE)
        assert is_healthy(gateway, app.url) is is_trusted


async def test_no_request_waits_for_a_check(tmp_path: Path) -> None:
    """A target counts as healthy until its checks have said otherwise; one that hangs says nothing yet."""

    async def script(wire: UpstreamWire) -> None:
        while True:
            if (await wire.request()).target == "/health":
                await wire.closed(DEADLINE)
            await wire.send(OK)

    text = "app: {connections: 1, health: {path: /health, timeout: 60}}"
    async with upstream(script) as app:
        async with running(tmp_path, text, app.url) as gateway:
            await eventually(lambda: app.requests, DEADLINE)
            assert await asked(gateway, 5) == [(200, b"ok")] * 5
            assert is_healthy(gateway, app.url)
            assert len(app.gone) < app.connections
        await eventually(lambda: len(app.gone) == app.connections)  # none is left when the gateway has stopped


async def test_who_is_found_well_again_is_not_ejected_any_more(tmp_path: Path) -> None:
    """A target that was dead for a while comes back with its checks, not when the ejection is over."""
    port = free_port()
    text = f"app: {{ejection: {{failures: 1, time: 300}}, health: {QUICK}}}"
    target = f"http://127.0.0.1:{port}"
    async with upstream(answering(A)) as alive, running(tmp_path, text, alive.url, target) as gateway:
        await asked(gateway, 2)
        assert metric(gateway, "gateway_upstream_ejections_total", target) == 1
        await eventually(lambda: metric(gateway, "gateway_upstream_health_checks_total", "failed") >= 3, DEADLINE)
        async with upstream(answering(B), port=port):
            await eventually(lambda: is_healthy(gateway, target), DEADLINE)
            assert (200, b"bb") in await asked(gateway, 2)


async def test_many_checks_of_the_dead_keep_nobody_waiting(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as deaf:  # takes connections, and says nothing
        dead = [f"http://127.0.0.{number}:{deaf.getsockname()[1]}" for number in range(2, 42)]
        text = "app: {health: {path: /, interval: 0.05, timeout: 60}, balance: least_connections}"
        async with upstream() as alive, running(tmp_path, text, *dead, alive.url) as gateway:
            await eventually(lambda: len(gateway.gateway.plane.pools["app"].checks._running) >= 40, DEADLINE)  # type: ignore[union-attr]
            assert (await ask(gateway.port, get("/nowhere"))).status == 404
