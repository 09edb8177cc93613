"""The endpoints over a real store and real keys, with a clock to set, for tests."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from gateway.config.sessions import SessionsSettings, public_clients, rules
from gateway.endpoints.app import endpoints_application
from gateway.endpoints.clients import Clients
from gateway.endpoints.context import Endpoints
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import OwnTokens, offline_resources
from gateway.mechanisms.logins.guarded import GuardedLogin
from gateway.mechanisms.logins.slowing import Slowing
from gateway.model.faces import Challenge
from gateway.model.session import EndReason, Session, SessionEvent, SessionOver
from gateway.state.revocations import RevocationView
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile
from gateway.tokens.issue import own_expectations
from tests.minting import NOW
from tests.own_tokens import own_keys

Client = TestClient[web.Request, web.Application]

ISSUER = "https://gw.example"
AUDIENCE = "https://api.example"
SECRET = "a random secret, and of more than 32 characters"
OTHER_SECRET = "another random secret, of more than 32 characters"
PASSWORD = "correct horse battery staple"


def hashed(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def sessions(**changes: Any) -> SessionsSettings:
    """Return settings with clients of all kinds."""
    settings: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "key_file": "keys.json",
        "access": {"jitter": 0},
        "scope": "orders:read orders:write",
        "default_client": "web",
        "clients": {
            "web": {"type": "public"},
            "phone": {"type": "public"},
            "svc": {"type": "confidential", "secret_hashes": [hashed(SECRET)], "may": {"introspect": True}},
            "backend": {"type": "confidential", "secret_hashes": [hashed(SECRET)], "may": {"open_sessions": True}},
            "api": {
                "type": "confidential",
                "secret_hashes": [hashed(OTHER_SECRET), hashed(SECRET)],
                "may": {"introspect": True},
                "audiences": [AUDIENCE],
            },
            "stranger": {
                "type": "confidential",
                "secret_hashes": [hashed(SECRET)],
                "may": {"introspect": True},
                "audiences": ["https://other.example"],
            },
            "batch": {"type": "confidential", "secret_hashes": [hashed(SECRET)], "grants": []},
        },
        "login": {"users": {"file": "users"}},
    }
    return SessionsSettings.model_validate({**settings, **changes})


def basic(client_id: str = "svc", secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{client_id}:{secret}".replace(" ", "+").encode()).decode()}


class Running:
    """The endpoints of one process. `now` is the time of the process and of the store."""

    def __init__(self, settings: SessionsSettings, directory: Path) -> None:
        self.settings = settings
        self.now: float = NOW
        self.events: list[SessionEvent] = []
        self.answered: list[tuple[str, str]] = []
        self.failures: list[BaseException] = []
        self.seen: list[tuple[str, int]] = []
        self.http: Client
        self._file = SqliteFile(directory / "state.db", lambda: self.now, deadline=20)
        self.store = SqliteStore(self._file)
        self.view = RevocationView(monotonic=lambda: self.now, clock=lambda: self.now)
        self.view.refreshed(int(self.now * 1000), self.now)
        self.own = OwnTokens(
            own_keys(),
            own_expectations(settings.issuer, settings.audiences),
            lambda sid, generation: self.seen.append((sid, generation)),
        )
        self.service = SessionService(
            self.store,
            SqliteFeed(self._file),
            self.view,
            self.own.keys,
            self.own.expect,
            rules(settings),
            self.events.append,
            public_clients=public_clients(settings),
        )
        users = directory / "users"
        users.write_text(f"alice:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
        self.login: GuardedLogin | None = None
        if settings.login is not None and settings.login.users is not None:
            login = settings.login.users.build(offline_resources(directory))
            self.login = GuardedLogin(login, Slowing(settings.login.slowing), lambda result: None)
        self.clients = Clients(settings.clients, lambda file: (directory / file).read_bytes())
        self.endpoints = Endpoints(
            self.service,
            settings,
            self.clients,
            self.own,
            self.view,
            Challenge("gw", None),
            lambda: self.now,
            login=self.login,
            record=lambda endpoint, result: self.answered.append((endpoint, result)),
            failed=self.failures.append,
        )
        self.app = endpoints_application((), "/unused", self.endpoints)

    async def open_store(self) -> None:
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()
        if self.login is not None:
            self.login.close()

    def later(self, seconds: float) -> None:
        """Let time pass. The view of revocations stays fresh."""
        self.now += seconds
        self.view.refreshed(int(self.now * 1000), self.now)

    async def post(
        self, path: str, form: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> ClientResponse:
        return await self.http.post(path, data=form, headers=headers, allow_redirects=False, **more)

    async def logged_in(self, client_id: str = "web", **more: Any) -> dict[str, Any]:
        """Log alice in, and return the token answer."""
        if client_id in ("web", "phone"):
            body = {"username": "alice", "password": PASSWORD, "client_id": client_id, **more}
            response = await self.http.post("/auth/login", json=body)
            assert response.status == 200, await response.text()
        else:
            body = {"sub": "alice", "client_id": client_id, **more}
            response = await self.http.post("/auth/sessions", json=body, headers=basic("backend"))
            assert response.status == 201, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer

    async def exchange(self, refresh_token: str, **more: Any) -> ClientResponse:
        return await self.post("/oauth/token", {"grant_type": "refresh_token", "refresh_token": refresh_token, **more})

    async def exchanged(self, refresh_token: str, **more: Any) -> dict[str, Any]:
        response = await self.exchange(refresh_token, **more)
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer

    def is_good(self, access_token: str) -> bool:
        return not self.view.is_revoked(self.endpoints.holder(access_token))

    async def session_of(self, refresh_token: str) -> Session:
        session = await self.service.session_of(refresh_token)
        assert session is not None
        return session

    def ends(self) -> list[EndReason]:
        return [event.reason for event in self.events if isinstance(event, SessionOver)]


async def error_of(response: ClientResponse) -> str:
    return str((await response.json())["error"])
