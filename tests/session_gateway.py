"""A whole gateway with sessions, an admin API and metrics, in process, for tests."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
from yarl import URL

from gateway.engine.sessions import SessionService
from tests.minting import make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.ports import free_port
from tests.trips.running import Running, running
from tests.trips.wire import answering, eventually, upstream

ADMIN_TOKEN = "an-admin-token-of-more-than-32-characters"
STAFF = "https://staff.example"
PASSWORD = "correct horse battery staple"
SECRETS = "0123456789abcdef0123456789abcdef"
LONG_AGO = 1_000_000_000
"""Good by a test's clock and by the real one."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECTIONS: dict[str, Any] = {
    "log": {"level": "info", "access": False},
    "state": {"url": "sqlite:state.db"},
    "sessions": {
        "issuer": "https://gw.example",
        "audiences": ["https://api.example"],
        "key_file": "own.json",
        "default_client": "web",
        "clients": {"web": {"type": "public"}},
        "login": {"users": {"file": "users"}},
    },
    "authenticators": {
        "own": {"type": "issued"},
        "staff": {"type": "jwt", "issuer": STAFF, "audiences": ["https://api.example"], "jwks_file": "keys.json"},
    },
    "admin": {
        "token_file": "admin-token",
        "authenticators": ["own", "staff"],
        "require": [{"scopes": ["gateway:admin"]}],
    },
    "inject": [{"header": "X-User-Id", "claim": "sub"}, {"header": "X-Issuer", "claim": "iss"}],
    "app": {"idle_lifetime": "500ms"},
    "routes": [{"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "authenticators": ["own", "staff"]}],
}


@dataclass(frozen=True)
class Answer:
    """An answer, wholly read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SessionGateway:
    """A gateway with sessions that serves, and a client of all its doors."""

    def __init__(self, gateway: Running, http: aiohttp.ClientSession, admin: str, ops: str) -> None:
        self.running = gateway
        self.gateway = gateway.gateway
        self._http = http
        self.admin_url = admin
        self.ops = ops
        self.log = io.StringIO()
        self.gateway.log.handler.setStream(self.log)

    async def ask(self, method: str, url: str, **more: Any) -> Answer:
        async with self._http.request(method, URL(url, encoded=True), allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def admin(self, method: str, path: str, token: str | None = ADMIN_TOKEN, **more: Any) -> Answer:
        """Call the admin API."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= {"Content-Type": "application/json"} if "data" in more else {}
        return await self.ask(method, f"{self.admin_url}/admin/api/v1{path}", headers=headers, **more)

    async def log_in(self, user: str = "alice", **fields: Any) -> Any:
        """Return the token answer of a login."""
        credentials = {"username": user, "password": PASSWORD, **fields}
        answer = await self.ask("POST", f"{self.running.url}/auth/login", json=credentials)
        assert answer.status == 200, answer.body
        return answer.json

    async def exchange(self, refresh_token: str, **fields: Any) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **fields}
        return await self.ask("POST", f"{self.running.url}/oauth/token", data=form)

    async def call(self, access_token: str) -> int:
        """Return the status of a call of the API behind the gateway."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return (await self.ask("GET", f"{self.running.url}/api/x", headers=headers)).status

    async def sid_of(self, tokens: Any) -> str:
        session = await self._service.session_of(tokens["refresh_token"])
        assert session is not None
        return session.sid

    async def metrics(self) -> dict[str, float]:
        """Return every sample, by its name and labels as they stand there."""
        answer = await self.ask("GET", f"{self.ops}/metrics")
        lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of this name that were logged since the start."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    async def ready(self) -> int:
        return (await self.ask("GET", f"{self.ops}/readyz")).status

    @property
    def _service(self) -> SessionService:
        service = self.gateway.snapshot.sessions
        assert service is not None
        return service


@asynccontextmanager
async def session_gateway(directory: Path, *, is_ready: bool = True, **sections: Any) -> AsyncIterator[SessionGateway]:
    """Run a gateway with SECTIONS; `sections` replaces some. Unless told otherwise, wait until it is ready."""
    write_files(directory)
    ports = free_port(), free_port()
    ops, admin = (f"127.0.0.1:{port}" for port in ports)
    sections = {**SECTIONS, "ops": {"address": ops}, **sections}
    sections["admin"] = sections["admin"] and {**sections["admin"], "address": admin}
    async with (
        upstream(answering(OK)) as app,
        running(directory, json.dumps(sections), app.url) as gateway,
        aiohttp.ClientSession() as http,
    ):
        served = SessionGateway(gateway, http, f"http://{admin}", f"http://{ops}")
        if is_ready:
            await eventually(lambda: gateway.gateway.health.ready().is_ok)
        yield served


def write_files(directory: Path) -> None:
    """Write what SECTIONS names, but for the keys of the staff."""
    files = {
        "own.json": key_file(private_jwk(make_key("EdDSA", "a1"), LONG_AGO), refresh_jwk(0, LONG_AGO)),
        "users": b"".join(b"%b:%b\n" % (name, _hash()) for name in (b"alice", b"bob")),
        "admin-token": ADMIN_TOKEN.encode() + b"\n",
        "alarm-secret": SECRETS.encode() + b"\n",
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)


@cache
def _hash() -> bytes:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))
