"""The gateway of the conformance statements, for tests named after them: its configuration, and what refusals are."""

import hashlib
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.model.session import THEFT
from tests.minting import SigningKey
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.ports import free_port
from tests.trips.running import get, request
from tests.trips.session_running import SessionGateway, json_of, serving
from tests.trips.wire import Message, ask

Pair = dict[str, Any]
SECRET = "a random secret, and of more than 32 characters"
SCOPE = "orders:read orders:write"
_HASHES = ["sha256:" + hashlib.sha256(SECRET.encode()).hexdigest()]
CONFORMANCE: dict[str, Any] = {
    "listen": [{"address": "${GATEWAY_LISTEN}"}],
    "ops": {"address": "${GATEWAY_OPS}"},
    "admin": {"address": "${GATEWAY_ADMIN}", "token_file": "admin.token"},
    "realm": "gw",
    "state": {"url": "${STATE_URL}"},
    "sessions": {
        "issuer": "https://gw.example",
        "audiences": ["https://api.example"],
        "key_file": "keys.json",
        "scope": SCOPE,
        "access": {"lifetime": 600, "jitter": 0},
        "default_client": "web",
        "clients": {
            "web": {"type": "public"},
            "phone": {"type": "public"},
            "svc": {"type": "confidential", "secret_hashes": _HASHES, "may": {"introspect": True}},
            "backend": {"type": "confidential", "secret_hashes": _HASHES, "may": {"open_sessions": True}},
            "batch": {"type": "confidential", "secret_hashes": _HASHES, "grants": []},
            "api": {
                "type": "confidential",
                "secret_hashes": _HASHES,
                "may": {"introspect": True},
                "audiences": ["https://api.example"],
            },
            "stranger": {
                "type": "confidential",
                "secret_hashes": _HASHES,
                "may": {"introspect": True},
                "audiences": ["https://other.example"],
            },
        },
        "login": {"users": {"file": "users"}},
    },
    "authenticators": {"own": {"type": "issued"}},
    "inject": [{"header": "X-User", "claim": "sub"}, {"header": "X-User-Issuer", "claim": "iss"}],
    "upstreams": {"app": {"targets": ["${GATEWAY_UPSTREAM}"]}},
    "routes": [
        {"id": "api", "match": {"path": "/api/**"}, "upstream": "app"},
        {"id": "inline", "match": {"path": "/inline/**"}, "upstream": "app", "refresh_inline": True},
        {"id": "renewing", "match": {"path": "/renewing/**"}, "upstream": "app", "renew": "header"},
    ],
}
OWN_PAGE = "Origin: https://app.example"
IN_COOKIES = {"answer": {"login": "cookies", "refresh": "cookies"}, "cookies": {"origins": ["https://app.example"]}}
INVALID_TOKEN = "The access token is invalid"
EXPIRED = "The access token expired"
REVOKED = "The access token was revoked"
INVALID_GRANT = "The refresh token is invalid, expired or revoked"


@asynccontextmanager
async def conforming(directory: Path, *keys: SigningKey, **more: Any) -> AsyncIterator[SessionGateway]:
    """Run the gateway. `keys` are those of its access tokens; the first one signs. `more` is for `serving`."""
    if keys:
        write_keys(directory, *keys)
    async with serving(directory, json.dumps(CONFORMANCE), GATEWAY_OPS=f"127.0.0.1:{free_port()}", **more) as gate:
        yield gate


def write_keys(directory: Path, *keys: SigningKey) -> None:
    """Write the key file, in one step."""
    times = range(-1000, -1000 - len(keys), -1)  # the first one is the newest
    members = [private_jwk(key, 1_800_000_000 + time) for key, time in zip(keys, times, strict=True)]
    file = directory / "new-keys.json"
    file.write_bytes(key_file(*members, refresh_jwk()))
    file.chmod(0o600)
    file.rename(directory / "keys.json")


def basic(client_id: str, secret: str = SECRET) -> str:
    """Return the header of a client that authenticates itself (RFC 6749 §2.3.1)."""
    return "Authorization: Basic " + b64encode(f"{client_id}:{secret}".replace(" ", "+").encode()).decode()


def is_refused(answer: Message, description: str = INVALID_TOKEN) -> None:
    """Check that an answer is the common 401 for a token that is no good, whole."""
    assert answer.status == 401
    challenge = f'Bearer realm="gw", error="invalid_token", error_description="{description}"'
    assert answer.one("WWW-Authenticate") == challenge
    assert (answer.one("Cache-Control"), answer.one("Content-Type")) == ("no-store", "application/json")
    body = json_of(answer)
    assert body.pop("request_id") == answer.one("X-Request-ID")
    assert body == {"error": "invalid_token", "error_description": description}


def is_error(answer: Message, status: int, error: str, description: str | None = None) -> None:
    """Check that an answer is the common form of an error of the endpoints (RFC 6749 §5.2), whole."""
    body = json_of(answer)
    assert (answer.status, body["error"]) == (status, error)
    if description is not None:
        assert body["error_description"] == description
    assert set(body) == {"error", "error_description", "request_id"}
    assert (answer.one("Cache-Control"), answer.one("Pragma")) == ("no-store", "no-cache")
    assert (answer.one("Content-Type") or "").startswith("application/json")


def is_dead(answer: Message) -> None:
    """Check that an answer is that to a refresh token that is no good."""
    is_error(answer, 400, "invalid_grant", INVALID_GRANT)
    assert answer.one("WWW-Authenticate") is None


def is_token_answer(answer: Message) -> Pair:
    """Check that an answer is that of RFC 6749 §5.1, whole, and return what it says."""
    assert answer.status == 200
    assert (answer.one("Content-Type") or "").split(";")[0] == "application/json"
    assert (answer.one("Cache-Control"), answer.one("Pragma")) == ("no-store", "no-cache")
    body = json_of(answer)
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (body["token_type"], type(body["expires_in"])) == ("Bearer", int)
    return body


async def exchanged(gate: SessionGateway, refresh_token: str, **fields: str) -> Pair:
    return is_token_answer(await gate.exchange(refresh_token, **fields))


async def used(gate: SessionGateway, pair: Pair) -> None:
    """Use an access token once, and wait until that is known."""
    assert (await gate.api(pair["access_token"])).status == 200
    await gate.seen_in_use(pair["refresh_token"])


async def generation_of(gate: SessionGateway, pair: Pair) -> int:
    return (await gate.session_of(pair["refresh_token"])).generation


async def thefts(gate: SessionGateway) -> float:
    samples = await metrics(gate)
    return sum(samples.get(f'gateway_sessions_ended_total{{reason="{reason}"}}', 0) for reason in THEFT)


def form(path: str, body: str, *headers: str) -> bytes:
    return request("POST", path, "Content-Type: application/x-www-form-urlencoded", *headers, body=body.encode())


async def opened(gate: SessionGateway, client_id: str) -> Pair:
    """Open a session for alice as a backend does, of any client."""
    answer = await gate.post("/auth/sessions", {"sub": "alice", "client_id": client_id}, basic("backend"))
    assert answer.status == 201
    return json_of(answer)


async def metrics(gate: SessionGateway) -> Mapping[str, float]:
    """Return every sample of the metrics, by its name and labels as they stand there."""
    lines = (await metrics_text(gate)).splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


async def metrics_text(gate: SessionGateway) -> str:
    ops = gate.gateway.snapshot.config.ops
    assert ops is not None
    return (await ask(ops.address.port, get("/metrics", "Connection: close"))).body.decode()


def events(gate: SessionGateway) -> Callable[[str], list[dict[str, Any]]]:
    """Listen to the log from now on; the function that is returned gives the events of a name."""
    stream = io.StringIO()
    gate.gateway.log.handler.setStream(stream)

    def named(name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    return named
