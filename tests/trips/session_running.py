"""A whole gateway with sessions for a test: its keys and users, an upstream, a clock to set; and clients to it.

    async with serving(tmp_path, preset("seed2"), changes={"sessions": {"scope": "a"}}) as gate:
        pair = await gate.log_in()
        gate.later(30)
        pair = json_of(await gate.exchange(pair["refresh_token"]))
        assert (await gate.api(pair["access_token"])).status == 200

Time stands still but for `later`, and with SQLite it is the store's time too. Redis has a clock of its own: tests there
pass `clock=PassingClock()`, and what they need to wait for they wait for.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bcrypt
import yaml

from gateway.app import Gateway
from gateway.commands.keeping.key_set import new_document
from gateway.config.load import load_text
from gateway.engine.sessions import SessionService
from gateway.model.session import Session
from gateway.state.revocations import RevocationView
from gateway.tokens.jose import read_jws
from tests.issuing import Clock
from tests.minting import NOW
from tests.ports import free_port
from tests.trips.running import Running, get, request
from tests.trips.wire import OK, PATIENCE, Message, Script, Upstream, UpstreamWire, ask, eventually, upstream

PRESETS = Path(__file__).parents[2] / "docs" / "presets"
PASSWORD = "correct horse battery staple"
USERS = ("alice", "bob")
ADMIN_TOKEN = "the-token-of-the-admin-API-that-nobody-guesses"
OWN_PAGE = "Sec-Fetch-Site: same-origin"
"""What a browser says when a page of the gateway's own origin sends a request."""


def preset(name: str) -> str:
    """Return the text of a preset: `seed0`."""
    return (PRESETS / f"{name}.yaml").read_text()


class PassingClock(Clock):
    """A clock that goes on as the real one does, ahead of it by what a test adds."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return self.now

    @property
    def now(self) -> float:
        return time.time() + self._ahead

    @now.setter
    def now(self, value: float) -> None:
        self._ahead = value - time.time()


class SessionGateway(Running):
    """A gateway with sessions, and what its clients do. `app` is the upstream behind it, and `admin_port` the API's."""

    def __init__(self, gateway: Gateway, clock: Clock, directory: Path, app: Upstream, admin_port: int) -> None:
        super().__init__(gateway, clock)
        self.directory = directory
        self.app = app
        self.admin_port = admin_port

    @property
    def sessions(self) -> SessionService:
        """The service of this process: for what no client can see."""
        service = self.gateway.plane.snapshot.sessions
        assert service is not None
        return service

    @property
    def view(self) -> RevocationView:
        view = self.gateway.plane.snapshot.gatekeeper.revocations
        assert view is not None
        return view

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds

    # --- clients

    async def ask(self, data: bytes) -> Message:
        """Send these bytes, on a connection of their own."""
        return await ask(self.port, data)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, *headers: str, form: bool = False
    ) -> Message:
        """POST a body, as JSON or as a form; without one, nothing."""
        if body is None:
            return await self.ask(request("POST", path, *headers, body=b""))
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        content = (urlencode(body) if form else json.dumps(body)).encode()
        return await self.ask(request("POST", path, f"Content-Type: {kind}", *headers, body=content))

    async def try_login(self, username: str = "alice", *headers: str, **fields: Any) -> Message:
        return await self.post("/auth/login", {"username": username, "password": PASSWORD, **fields}, *headers)

    async def log_in(self, username: str = "alice", *headers: str, **fields: Any) -> dict[str, Any]:
        """Log in, and return what the answer's body says."""
        answer = await self.try_login(username, *headers, **fields)
        assert answer.status == 200, answer.body
        return json_of(answer)

    async def exchange(self, refresh_token: str, *headers: str, **fields: str) -> Message:
        """Exchange at the token endpoint, as OAuth clients do."""
        body = {"grant_type": "refresh_token", "refresh_token": refresh_token, **fields}
        return await self.post("/oauth/token", body, *headers, form=True)

    async def refresh(self, refresh_token: str, *headers: str, **fields: str) -> Message:
        """Exchange at the refresh endpoint, with JSON."""
        return await self.post("/auth/refresh", {"refresh_token": refresh_token, **fields}, *headers)

    async def log_out(self, refresh_token: str, *headers: str, **fields: Any) -> Message:
        return await self.post("/auth/logout", {"refresh_token": refresh_token, **fields}, *headers)

    async def api(self, token: str | None, *headers: str, path: str = "/api/x") -> Message:
        """GET from the API behind the gateway."""
        return await self.ask(get(path, *headers, bearer=token))

    async def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Message:
        """Ask the admin API, with its token."""
        content = None if body is None else json.dumps(body).encode()
        data = request(
            method,
            f"/admin/api/v1{path}",
            "Connection: close",
            "Content-Type: application/json",
            bearer=ADMIN_TOKEN,
            body=content,
        )
        return await ask(self.admin_port, data)

    # --- what no client can see

    async def session_of(self, refresh_token: str) -> Session:
        """Return the session of a refresh token, over or not."""
        session = await self.sessions.session_of(refresh_token)
        assert session is not None
        return session

    async def seen_in_use(self, refresh_token: str) -> None:
        """Wait until it is in the store that the access token that came with this refresh token was used."""

        async with asyncio.timeout(PATIENCE):
            while not (await self.session_of(refresh_token)).acknowledged:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    directory: Path,
    text: str,
    *,
    changes: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    algorithm: str = "EdDSA",
    script: Script | None = None,
    **environment: str,
) -> AsyncIterator[SessionGateway]:
    """Run a gateway with a configuration, such as that of a preset, until it has drained.

    `changes` replaces settings, mapping by mapping. `environment` is what `${NAME}` stands for,
    beside the addresses. `directory` gets keys (of `algorithm`), users and an admin token, each unless it is there: so
    several gateways in one directory are replicas of each other. `script` is what the upstream plays.
    """
    clock = clock or Clock(NOW)
    write_files(directory, clock, algorithm)
    admin_port = free_port()
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script or patiently_ok))
        names = {
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_UPSTREAM": app.url,
            "GATEWAY_ADMIN": f"127.0.0.1:{admin_port}",
            "STATE_URL": "sqlite:state.db",
            **environment,
        }
        if changes:
            text = json.dumps(_merged(yaml.safe_load(text), changes))  # JSON is YAML
        loaded = load_text(text, names)
        gateway = await stack.enter_async_context(Gateway(loaded.config, directory, clock))
        gate = SessionGateway(gateway, clock, directory, app, admin_port)
        await eventually(lambda: gate.view.staleness() < 5)
        yield gate


async def patiently_ok(wire: UpstreamWire) -> None:
    """Answer every request, however long it takes until the next one comes."""
    while True:
        with contextlib.suppress(TimeoutError):
            await wire.request()
            await wire.send(OK)


def write_files(directory: Path, clock: Clock, algorithm: str = "EdDSA") -> None:
    """Write the files that configurations name, each unless it is there."""
    contents: dict[str, Callable[[], bytes]] = {
        "keys.json": lambda: new_document(algorithm, int(clock())),
        "users": lambda: "".join(f"{name}:{password_hash()}\n" for name in USERS).encode(),
        "admin.token": ADMIN_TOKEN.encode,
    }
    for name, content in contents.items():
        file = directory / name
        if not file.exists():
            file.write_bytes(content())
            file.chmod(0o600)


@cache
def password_hash() -> str:
    """Return a hash of PASSWORD that does not take long."""
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def json_of(message: Message) -> dict[str, Any]:
    """Return the JSON object that an answer holds."""
    value: dict[str, Any] = json.loads(message.body)
    return value


def error_of(message: Message) -> tuple[int, str]:
    """Return the status of a refusal, and its error code."""
    return message.status, json_of(message)["error"]


def set_cookies(message: Message) -> dict[str, dict[str, str]]:
    """Return the cookies that an answer sets: the value as `value`, the attributes by their names in lower case."""
    cookies: dict[str, dict[str, str]] = {}
    for line in message.all("Set-Cookie"):
        for name, morsel in SimpleCookie(line).items():
            cookies[name] = {"value": morsel.value} | {key: str(value) for key, value in morsel.items() if value}
    return cookies


def payload_of(token: str) -> dict[str, Any]:
    """Return what anybody can read in a JWT."""
    return read_jws(token).payload


def header_of(token: str) -> dict[str, Any]:
    return read_jws(token).header


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged
