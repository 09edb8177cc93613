"""Two gateways in trouble, and a Prometheus that looks on.

`whole` has two workers, sessions in Redis, and clients that do all sorts of things; `lonely` has neither its store nor
its issuer, a certificate that ends tomorrow, and a limit that is too low. Then Redis dies, too.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.clients.echo import running
from tests.clients.processes import ADMIN_TOKEN, PASSWORD, Fleet, GatewayProcess, fleet, opened, run, sessions
from tests.clients.workers import workers_of
from tests.deploy.asking import address, ask, assert_only, exchange, get, log_in
from tests.deploy.prometheus import Prometheus, prometheus_running
from tests.minting import access_claims, jwks, make_key
from tests.ports import free_port
from tests.state.redis_servers import RedisServer, server_of
from tests.trips.certificates import make_authority

KEY = make_key("EdDSA", "k1")
ISSUER = "https://issuer.example"
MANY = 400
"""More than one a second over five minutes, which is what some alerts begin with."""
SOME = 40
"""More than one in ten seconds."""
MOMENT = 0.04
"""How long `/narrow` takes."""
WINDOW = 0.3
"""For tokens that were exchanged already."""


class _Behind(BaseHTTPRequestHandler):
    """The upstream, the issuer of keys and the backend of logins."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/narrow"):
            time.sleep(MOMENT)
        body = jwks(KEY) if self.path == "/jwks" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """No password is right."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@dataclass
class Scene:
    ships: Fleet
    redis: RedisServer
    prometheus: Prometheus
    whole: GatewayProcess
    lonely: GatewayProcess

    def play(self) -> None:
        self.prometheus.has_scraped(self.whole.ops_url, self.lonely.ops_url)
        for many, some in ((2, 2), (MANY, SOME)):  # what is counted from 1 on has to grow before it has a rate
            self._refuse(many)
            self._let_pass(some)
            self._fail(some)
            self._use_sessions(some)
            self.prometheus.has_scraped(self.whole.ops_url, self.lonely.ops_url)
        self._reload()
        self._lose_the_store(SOME)

    def _refuse(self, many: int) -> None:
        assert_only({401}, ask(self.whole.url, [get("/api/x")] * many))
        assert_only({200, 429}, ask(self.whole.url, [get("/limited")] * many))
        assert_only({401, 429}, ask(self.whole.url, [log_in("wrong")] * many))

    def _let_pass(self, some: int) -> None:
        token = KEY.sign(access_claims(time.time(), iss=ISSUER))
        assert_only({200}, ask(self.whole.url, [get("/api/x", token)] * some))
        assert_only({200}, ask(self.whole.url, [get("/narrow")] * some, at_once=True))  # one after the other

    def _fail(self, some: int) -> None:
        assert_only({502, 503}, ask(self.whole.url, [get("/dead"), get("/ill")] * some))
        assert_only({200}, ask(self.whole.url, [get("/counted")]))
        assert 503 in ask(self.lonely.url, [get("/narrow")] * max(some, 20), at_once=True)
        assert_only({503}, ask(self.lonely.url, [log_in(PASSWORD)] * some))
        unknown = make_key("EdDSA", "k2").sign(access_claims(time.time(), iss=ISSUER))
        assert_only({503}, ask(self.lonely.url, [get("/api/x", unknown)] * some))

    def _use_sessions(self, some: int) -> None:
        url = self.whole.url
        assert_only({400, 429}, ask(url, [exchange("junk")] * some))
        pairs = [opened(url) for _ in range(some // 2)]
        old = [exchange(pair["refresh_token"]) for pair in pairs]
        assert ask(url, [each for each in old for _ in (1, 2)])[::2] == [200] * len(old)  # each as if by two tabs
        time.sleep(2 * WINDOW)
        assert_only({400}, ask(url, old, at_once=True))  # both workers have something to alarm of

    def _reload(self) -> None:
        """Put a good configuration in force, then write a bad one, and kill a worker, which nobody can replace then."""
        file = self.ships.directory / f"{self.whole.name}.yaml"
        before = json.loads(file.read_text())
        file.write_text(json.dumps({**before, "realm": "another"}))
        self.whole.wait_until(lambda: self.whole.metric("gateway_config_reloads_total", result="ok") >= 2, "reloaded")
        self.prometheus.has_scraped(self.whole.ops_url)
        file.write_text(json.dumps({**before, "realm": 7}))
        self.whole.wait_until(lambda: self.whole.events("config_rejected"), "refusing")
        os.kill(workers_of(self.whole)[1], signal.SIGKILL)
        assert_only({502, 503}, statuses := ask(self.whole.url, [get("/dead")] * 5))
        assert 503 in statuses  # the circuit of the other one

    def _lose_the_store(self, some: int) -> None:
        pair = opened(self.whole.url)
        self.redis.run("FLUSHALL")
        self.whole.wait_until(lambda: self.whole.metric("gateway_revocation_resyncs_total", cause="epoch"), "told")
        self.redis.pause()
        slow = [exchange(pair["refresh_token"])] * 4
        with ExitStack() as stack:
            wires = [stack.enter_context(socket.create_connection(address(self.whole.url))) for _ in slow]
            for wire, request in zip(wires, slow, strict=True):
                wire.sendall(request)
            time.sleep(0.5)
            self.redis.resume()
            for wire in wires:
                wire.recv(65536)
        self.redis.kill()
        assert_only({503}, ask(self.whole.url, [exchange(pair["refresh_token"])] * some))
        self.whole.wait_until(self._count_alone, "counting alone")

    def _count_alone(self) -> bool:
        assert ask(self.whole.url, [get("/counted")]) == [200]
        return self.whole.metric("gateway_rate_limit_exchanges_total", result="failed") >= 3


@contextmanager
def played(directory: Path) -> Iterator[Scene]:
    """Give the scene when all of it has happened."""
    house = directory / "house"
    house.mkdir()
    run(house, "keys", "create", "keys.json")
    (house / "admin-token").write_text(ADMIN_TOKEN)
    (house / "alarm.secret").write_text("0123456789abcdef" * 4)
    with (
        server_of(directory / "redis") as redis,
        running(_Behind) as upstream,
        fleet(
            directory / "ships", house, {"url": f"redis://127.0.0.1:{redis.port}", "timeout": "2s"}, upstream
        ) as ships,
    ):
        ports = free_port(), free_port()
        dead = f"http://127.0.0.1:{free_port()}"
        certificate, key = make_authority(directory).issue("localhost")
        tls = {"certificate": str(certificate), "key": str(key)}
        listen = [{"address": f"127.0.0.1:{ports[0]}"}, {"address": f"127.0.0.1:{ports[1]}", "tls": tls}]
        lonely = ships.launch(ports[0], listen=listen, **_lonely(upstream, dead))
        whole = ships.launch(**_whole(upstream, dead)).until_ready()
        lonely.wait_until(lambda: lonely.events("listening"), "listening")
        jobs = {"gateway": [whole.ops_url, dead], "edge": [lonely.ops_url]}
        with prometheus_running(directory / "prometheus", jobs) as prometheus:
            scene = Scene(ships, redis, prometheus, whole, lonely)
            scene.play()
            yield scene


def _whole(upstream: str, dead: str) -> dict[str, Any]:
    routes = [
        {"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "authenticators": ["own", "main"]},
        {"id": "narrow", "match": {"path": "/narrow"}, "upstream": "narrow", "access": "public"},
        {"id": "dead", "match": {"path": "/dead"}, "upstream": "dead", "access": "public"},
        {
            "id": "limited",
            "match": {"path": "/limited"},
            "upstream": "app",
            "access": "public",
            "rate_limits": [{"by": "client_address", "requests": 1, "per": "1h"}],
        },
        {
            "id": "counted",
            "match": {"path": "/counted"},
            "upstream": "app",
            "access": "public",
            "rate_limits": [{"by": "client_address", "requests": 100000, "per": "1h", "shared": True}],
        },
        {"id": "ill", "match": {"path": "/ill"}, "upstream": "ill", "access": "public"},
    ]
    window = f"{WINDOW * 1000:.0f}ms"
    return {
        "workers": 2,
        "inject": [{"header": "X-User", "claim": "sub"}, {"header": "X-Issuer", "claim": "iss"}],
        "insecure": ["http_issuer", "http_alarm"],
        "sessions": {
            **sessions("https://gw.example"),
            "exchange": {"concurrency_window": window, "recovery_window": window},
            "login": {"backend": {"url": f"{upstream}/login", "subject": "id"}},
            "junk_per_minute": 1000,
            "alarm": {"url": f"{dead}/alarm", "secret_file": "alarm.secret"},
        },
        "authenticators": {
            "own": {"type": "issued"},
            "main": {
                "type": "jwt",
                "issuer": ISSUER,
                "audiences": ["https://api.example"],
                "jwks_uri": f"{upstream}/jwks",
            },
        },
        "upstreams": {
            "app": {"targets": [upstream]},
            "narrow": {"targets": [upstream], "connections": 1},
            "dead": {"targets": [dead], "breaker": {"requests": 2, "open": "10m"}},
            "ill": {
                "targets": [dead, dead.replace("127.0.0.1", "127.0.0.2")],
                "health": {"path": "/health", "interval": "1s", "failures": 1},
            },
        },
        "routes": routes,
    }


def _lonely(upstream: str, dead: str) -> dict[str, Any]:
    backend = {"url": f"{dead}/login", "subject": "id"}
    return {
        "insecure": ["http_issuer"],
        "state": {"url": dead.replace("http:", "redis:")},
        "limits": {"requests": 8},
        "revocation": {"when_stale": "open"},
        "sessions": {**sessions("https://gw.example"), "login": {"backend": backend}},
        "authenticators": {
            "main": {
                "type": "jwt",
                "issuer": ISSUER,
                "audiences": ["https://api.example"],
                "jwks_uri": f"{dead}/jwks",
                "cooldown": "1s",
            },
        },
        "upstreams": {"app": {"targets": [upstream]}},
        "routes": [
            {"id": "api", "match": {"path": "/api/**"}, "upstream": "app"},
            {"id": "narrow", "match": {"path": "/narrow"}, "upstream": "app", "access": "public"},
        ],
    }
