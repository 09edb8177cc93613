"""A real gateway with the console, what asks it, and a browser."""

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.clients.echo import echo_running
from tests.clients.processes import (
    AUDIENCE,
    BACKEND,
    PATIENCE,
    SCOPE,
    Fleet,
    GatewayProcess,
    fleet,
    make_house,
)
from tests.minting import access_claims, jwks, make_key
from tests.trips.servers import required

READ_TOKEN = "a-token-of-32-characters-that-may-only-read"
ISSUER = "https://issuer.example"
KEY = make_key("EdDSA", "k1")
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Served:
    """A gateway whose console is at `url`."""

    gateway: GatewayProcess
    fleet: Fleet

    @property
    def url(self) -> str:
        return self.gateway.admin_url + "/admin/"

    def ask(self, path: str, token: str | None = None, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Ask the gateway; return the status, and the request id of a refusal."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(urlsplit(self.gateway.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            body = json.loads(answer.read() or b"{}")
            return answer.status, str(body.get("request_id", ""))
        finally:
            connection.close()

    def admin_status(self, path: str, token: str | None) -> int:
        """Ask the admin API without a browser."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.gateway.admin_url}/admin/api/v1{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def log_in(
        self, subject: str = "alice", device: str = "Firefox on Linux", address: str = "203.0.113.9", **claims: Any
    ) -> dict[str, Any]:
        """Open a session as a backend does."""
        client = {"client_id": "web", "scope": SCOPE, "device": device, "address": address}
        body = {"sub": subject, "claims": claims, **client}
        headers = {"Authorization": BACKEND, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.gateway.url}/auth/sessions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            tokens: dict[str, Any] = json.load(response)
            return tokens


def issued(**claims: Any) -> str:
    """Return a token of the other issuer."""
    return KEY.sign(access_claims(time.time(), **{"iss": ISSUER, **claims}))


def route(name: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a route that takes the tokens of both issuers."""
    return {"id": name, "match": {"path": f"/{name}/**"}, "upstream": "app", "authenticators": ["own", "main"], **more}


@contextmanager
def serving(directory: Path, admin: Mapping[str, Any] | None = None, **changes: Any) -> Iterator[Served]:
    """Run a gateway with the console before an upstream that echoes. `changes` are sections of its configuration."""
    house = directory / "house"
    make_house(house)
    (house / "read-token").write_text(READ_TOKEN)
    (house / "issuer.json").write_bytes(jwks(KEY))
    main = {"type": "jwt", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": "issuer.json"}
    decisions = {"sample": 1, "claims": ["email", "name"]}
    settings: dict[str, Any] = {
        "authenticators": {"own": {"type": "issued"}, "main": main},
        "inject": [{"header": "X-User", "claim": "sub"}, {"header": "X-User-Issuer", "claim": "iss"}],
        "routes": [route("api"), route("orders", require=[{"scopes": ["orders:write"]}])],
        **changes,
    }
    with echo_running() as upstream, fleet(directory / "fleet", house, {"url": "sqlite:state.db"}, upstream) as ships:
        tokens = {"token_file": "admin-token", "read": {"token_file": "read-token"}}
        yield Served(ships.start(**settings, admin={**tokens, "decisions": decisions, **(admin or {})}), ships)


def chromium() -> str:
    """Return the browser's executable. Skips the test where there is none, but never in CI."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), None) or required(CHROMIUMS[0])


def wait_until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that comes about by itself."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, f"not {what}"
        time.sleep(0.05)
