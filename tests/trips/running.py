"""A whole gateway for a test: from YAML to a listening socket, in process on the test's own event loop."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gateway.app import Gateway
from gateway.config.load import load_text
from tests.issuing import Clock
from tests.minting import NOW, access_claims, jwks, make_key

KEY = make_key("EdDSA", "k1")

BASE = """
listen: [{address: "127.0.0.1:0"}]
realm: gw
log: {level: error}
authenticators:
  issuer: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json}
inject:
  - {header: X-User-Id, claim: sub}
routes:
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public}
  - {id: maybe, match: {path: "/maybe/**"}, upstream: app, access: optional}
  - {id: api, match: {path: "/api/**"}, upstream: app}
  - {id: orders, match: {path: /api/orders, methods: [GET]}, upstream: app, require: [{scopes: ["orders:read"]}]}
"""
"""What a test does not say itself. The upstream `app` is added."""


class Running:
    """A gateway that serves."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self.gateway = gateway
        self.clock = clock
        self.port: int = gateway.listeners.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def decisions(self, route: str | None) -> dict[str, int]:
        """Return how often each thing became of requests on a route."""
        return dict(self.gateway.metrics.route(route).decisions())

    def pool(self, name: str = "app") -> dict[str, int]:
        """Return the numbers of busy and idle connections to an upstream."""
        pool = self.gateway.plane.pools.get(name)
        targets = pool.targets.all if pool is not None else ()
        return {"busy": sum(target.busy for target in targets), "idle": sum(len(target.idle) for target in targets)}


def config(text: str = "", *targets: str) -> dict[str, Any]:
    """Return the base configuration; top-level keys of `text` replace its own. `app` goes to the targets."""
    changes: dict[str, Any] = yaml.safe_load(text) or {}
    base: dict[str, Any] = json.loads(_base())
    app = {"targets": list(targets) or ["http://127.0.0.1:9"], **changes.pop("app", {})}
    return {**base, "upstreams": {"app": app}, **changes}


@cache
def _base() -> str:
    return json.dumps(yaml.safe_load(BASE))


@asynccontextmanager
async def running(directory: Path, text: str = "", *targets: str) -> AsyncIterator[Running]:
    """Run a gateway with `config(text, *targets)` and the key `KEY`, at the time NOW. Leaving drains it."""
    (directory / "keys.json").write_bytes(jwks(KEY))
    loaded = load_text(json.dumps(config(text, *targets)), {})  # JSON is YAML, and quicker to write
    clock = Clock(NOW)
    async with Gateway(loaded.config, directory, clock) as gateway:
        yield Running(gateway, clock)


def token(**claims: Any) -> str:
    """Return a good token; `claims` override some of its claims, None leaves one out."""
    return KEY.sign(access_claims(**claims))


def get(path: str, *headers: str, bearer: str | None = None) -> bytes:
    """Return a GET request as bytes, with a token if there is one."""
    return request("GET", path, *headers, bearer=bearer)


def request(method: str, path: str, *headers: str, bearer: str | None = None, body: bytes | None = None) -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: api.example", *headers]
    if bearer is not None:
        lines.append(f"Authorization: Bearer {bearer}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
