"""What an attack is tried on: a gateway with every kind of route, an upstream that remembers what reached it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.minting import make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.trips.running import Running, get, running, token
from tests.trips.wire import Message, Script, Upstream, ask, upstream

ROUTES = """
cors: {origins: ["https://app.example"]}
inject:
  - {header: X-User-Id, claim: sub}
  - {header: X-Email, claim: email}
  - {header: X-Groups, claim: groups}
routes:
  - {id: public, match: {path: "/public/**"}, upstream: app, access: public}
  - {id: health, match: {path: /ping}, upstream: app, access: public}
  - {id: stripped, match: {path: "/static/**"}, upstream: app, access: public, rewrite: {strip_prefix: /static}}
  - {id: maybe, match: {path: "/maybe/**"}, upstream: app, access: optional, token_from: [authorization]}
  - {id: api, match: {path: "/api/**"}, upstream: app, upgrades: [websocket], token_from: [authorization]}
  - {id: admin, match: {path: "/admin/**"}, upstream: app, require: [{scopes: [admin]}], token_from: [authorization]}
  - {id: staff, match: {path: "/staff/**"}, upstream: app, token_from: [authorization],
     require: [{claim: email, one_of: [ann@corp.example, bob@corp.example]}]}
  - {id: group, match: {path: "/group/**"}, upstream: app, token_from: [authorization],
     require: [{claim: groups, contains: devs}]}
  - {id: cookie, match: {path: "/cookie/**"}, upstream: app, token_from: [{cookie: session}], forward_token: true}
  - {id: internal, match: {path: "/**", hosts: [internal.example]}, upstream: app, token_from: [authorization]}
  - {id: wild, match: {path: "/**", hosts: ["*.b.wild.example"]}, upstream: app, token_from: [authorization]}
  - {id: wilder, match: {path: "/**", hosts: ["*.wild.example"]}, upstream: app, access: public}
"""


class Target:
    """A gateway under attack."""

    def __init__(self, gateway: Running, app: Upstream) -> None:
        self.gateway = gateway
        self.app = app
        self.port = gateway.port

    async def ask(self, data: bytes) -> Message:
        """Send these bytes on a connection of their own."""
        return await ask(self.port, data)

    async def refuses(self, data: bytes, *statuses: int) -> Message:
        """Send an attack, which is answered with one of these statuses. The upstream hears nothing of it."""
        before = len(self.app.heads)
        answer = await self.ask(data)
        assert answer.status in statuses, (answer.line, data)
        assert len(self.app.heads) == before, self.app.heads[-1].line
        assert answer.one("X-Access-Token") is None
        return answer

    async def passes(self, data: bytes) -> Message:
        """Send a request that is served; return it as the upstream saw it."""
        before = len(self.app.requests)
        answer = await self.ask(data)
        assert (answer.status, answer.body) == (200, b"ok"), (answer.line, answer.body)
        [seen] = self.app.requests[before:]
        return seen

    async def identity(self, data: bytes) -> str | None:
        """Return whom the upstream takes a request for that is served."""
        return (await self.passes(data)).one("X-User-Id")


@asynccontextmanager
async def attacked(directory: Path, text: str = "", script: Script | None = None) -> AsyncIterator[Target]:
    """Run a gateway with ROUTES and `text`, in front of an upstream."""
    async with upstream(script) as app, running(directory, ROUTES + text, app.url) as gateway:
        yield Target(gateway, app)


def lines_of(message: Message) -> list[str]:
    """Return the names of a message's headers as CGI programs spell them."""
    return ["".join(char if char.isalnum() else "_" for char in name.upper()) for name, _ in message.headers]


def own_key_file(directory: Path) -> None:
    """Write the keys of a gateway that issues tokens itself."""
    file = directory / "own.json"
    file.write_bytes(key_file(private_jwk(make_key("EdDSA", "a1")), refresh_jwk()))
    file.chmod(0o600)


def as_admin(**claims: Any) -> str:
    """Return a token that is good for every route."""
    return token(scope="admin", email="ann@corp.example", groups=["devs"], **claims)


def hello(path: str, *headers: str, host: str = "api.example", bearer: str | None = None) -> bytes:
    """Return a GET request to a host."""
    return get(path, *headers, bearer=bearer).replace(b"Host: api.example", f"Host: {host}".encode("latin-1"), 1)
