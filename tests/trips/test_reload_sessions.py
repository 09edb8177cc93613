"""Reloads of what sessions are made of: nobody is logged out, nothing that was counted is forgotten."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from gateway.config.compile_sessions import ENDPOINTS
from gateway.config.compile_upstreams import UpstreamSpec
from tests.minting import access_claims
from tests.ports import free_port
from tests.session_gateway import ADMIN_TOKEN, PASSWORD, SECTIONS, STAFF, write_files
from tests.trips.reloading import WITHIN, Reloading, reloading, replace
from tests.trips.running import KEY, get, request
from tests.trips.wire import Message, UpstreamWire, answering, ask, connected, eventually, upstream

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

SESSIONS: dict[str, Any] = SECTIONS["sessions"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class House:
    """A gateway with sessions, and what its clients do."""

    def __init__(self, gateway: Reloading, sections: dict[str, Any]) -> None:
        self.gateway = gateway
        self.sections = sections
        self.admin_port = int(sections["admin"]["address"].rpartition(":")[2])

    async def change(self, sessions: Mapping[str, Any] | None = None, **sections: Any) -> None:
        """Put other sections in force."""
        await self.gateway.change(
            json.dumps({**self.sections, "sessions": {**SESSIONS, **(sessions or {})}, **sections})
        )

    async def post(self, path: str, body: Mapping[str, Any], *headers: str, port: int | None = None) -> Message:
        content = json.dumps(body).encode()
        data = request("POST", path, "Content-Type: application/json", *headers, body=content)
        return await ask(port or self.gateway.port, data)

    async def log_in(self, password: str = PASSWORD, name: str = "alice", path: str = "/auth/login") -> Message:
        return await self.post(path, {"username": name, "password": password})

    async def tokens(self) -> dict[str, Any]:
        answer = await self.log_in()
        assert answer.status == 200, answer.body
        tokens: dict[str, Any] = json.loads(answer.body)
        return tokens

    async def call(self, access_token: str) -> int:
        return (await ask(self.gateway.port, get("/api/x", bearer=access_token))).status

    async def refresh(self, refresh_token: str) -> Message:
        return await self.post("/auth/refresh", {"refresh_token": refresh_token})

    async def administer(self, bearer: str = ADMIN_TOKEN) -> int:
        path = "/admin/api/v1/subjects/alice/sessions"
        return (await ask(self.admin_port, get(path, "Connection: close", bearer=bearer))).status


@asynccontextmanager
async def house(directory: Path, *, url: str | None = None, **changes: Any) -> AsyncIterator[House]:
    write_files(directory)
    admin = {**SECTIONS["admin"], "address": f"127.0.0.1:{free_port()}"}
    sections = {**SECTIONS, "admin": admin, "sessions": {**SESSIONS, **changes}}
    async with (
        upstream(answering(OK)) as app,
        reloading(directory, json.dumps(sections), url or app.url) as gateway,
    ):
        await eventually(lambda: gateway.gateway.health.ready().is_ok, WITHIN)
        yield House(gateway, sections)


async def test_sessions_and_tokens_live_through_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        tokens = await at.tokens()
        assert await at.call(tokens["access_token"]) == 200
        own = at.gateway.gateway.snapshot.own
        assert own is not None
        await at.change({"access": {"lifetime": "2m"}, "scope": "orders:read"})
        assert at.gateway.gateway.snapshot.own is not own
        assert at.gateway.gateway.snapshot.own.keys is own.keys  # type: ignore[union-attr]
        assert await at.call(tokens["access_token"]) == 200
        assert (await at.tokens())["expires_in"] <= 120
        fresh = json.loads((await at.refresh(tokens["refresh_token"])).body)
        again = json.loads((await at.refresh(tokens["refresh_token"])).body)
        assert again["refresh_token"] == fresh["refresh_token"]
        assert (await at.post("/auth/logout", {"refresh_token": fresh["refresh_token"]})).status in (200, 204)
        assert await at.call(fresh["access_token"]) == 401


async def test_a_session_that_was_ended_before_a_reload_is_over_after_it(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        tokens = await at.tokens()
        await at.post("/auth/logout", {"refresh_token": tokens["refresh_token"]})
        await at.change({"scope": "orders:read"})
        assert await at.call(tokens["access_token"]) == 401
        assert (await at.refresh(tokens["refresh_token"])).status == 401


async def test_tokens_of_an_issuer_that_the_gateway_is_no_more_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        tokens = await at.tokens()
        assert await at.call(tokens["access_token"]) == 200
        await at.change({"issuer": "https://other.example"})
        assert await at.call(tokens["access_token"]) == 401
        assert await at.call((await at.tokens())["access_token"]) == 200


async def test_the_first_use_of_a_token_is_recorded_by_the_service_of_now(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.change({"scope": "orders:read"})
        tokens = await at.tokens()
        await at.call(tokens["access_token"])
        service = at.gateway.gateway.snapshot.sessions
        assert service is not None
        async with asyncio.timeout(WITHIN):
            while not (session := await service.session_of(tokens["refresh_token"])) or not session.acknowledged:
                await asyncio.sleep(0.02)


async def test_the_paths_of_endpoints_change(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.change({"endpoints": {"login": "/enter"}})
        assert (await at.log_in(path="/enter")).status == 200
        assert (await at.log_in()).status == 404


async def test_guessing_stays_slow_through_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        for _ in range(5):
            assert (await at.log_in("wrong")).status == 401
        await at.change({"scope": "orders:read"})
        assert (await at.log_in("wrong")).status == 429
        await at.change({"login": {"users": {"file": "users"}, "slowing": {"free_failures": 100}}})
        assert (await at.log_in("wrong")).status == 401


async def test_junk_stays_counted_through_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path, junk_per_minute=2) as at:
        assert [(await at.refresh("junk")).status for _ in range(2)] == [401, 401]
        await at.change({"junk_per_minute": 2, "scope": "orders:read"})
        assert (await at.refresh("junk")).status == 429


async def test_another_users_file_is_used(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"another good password", bcrypt.gensalt(4)).decode()
    (tmp_path / "others").write_text(f"carol:{hashed}\n")
    async with house(tmp_path) as at:
        await at.change({"login": {"users": {"file": "others"}}})
        assert (await at.log_in()).status == 401
        assert (await at.log_in("another good password", "carol")).status == 200


async def test_a_users_file_with_mistakes_is_told_and_the_users_before_can_log_in(tmp_path: Path) -> None:
    (tmp_path / "others").write_text("carol:no hash\n")
    async with house(tmp_path) as at:
        changed = {**at.sections, "sessions": {**SESSIONS, "login": {"users": {"file": "others"}}}}
        at.gateway.write(json.dumps(changed))
        event = await at.gateway.ask()
        assert event["event"] == "config_rejected"
        assert "sessions.login.users.file: others, line 1" in event["mistakes"][0]
        assert (await at.log_in()).status == 200


async def test_the_secret_of_a_client_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.reload.LOOK_EVERY", 0.05)

    def hashed(secret: str) -> bytes:
        return b"sha256:" + sha256(secret.encode()).hexdigest().encode()

    async def status(secret: str) -> int:
        basic = b64encode(f"svc:{secret}".encode()).decode()
        answer = await ask(
            at.gateway.port,
            request(
                "POST",
                "/oauth/introspect",
                f"Authorization: Basic {basic}",
                "Content-Type: application/x-www-form-urlencoded",
                body=b"token=junk",
            ),
        )
        return answer.status

    (tmp_path / "svc.hash").write_bytes(hashed("first-secret-of-more-than-32-characters"))
    client = {"type": "confidential", "secret_file": "svc.hash", "may": {"introspect": True}}
    async with house(tmp_path, clients={**SESSIONS["clients"], "svc": client}) as at:
        assert await status("first-secret-of-more-than-32-characters") == 200
        replace(tmp_path / "svc.hash", hashed("second-secret-of-more-than-32-characters"))
        await at.gateway.noticed("config_reloaded")
        assert await status("first-secret-of-more-than-32-characters") == 401
        assert await status("second-secret-of-more-than-32-characters") == 200


async def test_a_client_is_added_and_removed(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        body = {"username": "alice", "password": PASSWORD, "client_id": "phone"}
        assert (await at.post("/auth/login", body)).status == 401
        await at.change({"clients": {"web": {"type": "public"}, "phone": {"type": "public"}}})
        assert (await at.post("/auth/login", body)).status == 200
        await at.change()
        assert (await at.post("/auth/login", body)).status == 401


async def test_who_may_use_the_admin_api_changes(tmp_path: Path) -> None:
    staff = KEY.sign(access_claims(iss=STAFF, sub="carol", scope="gateway:admin"))
    new = "another-admin-token-of-more-than-32-characters"
    async with house(tmp_path) as at:
        assert (await at.administer(), await at.administer(staff)) == (200, 200)
        (tmp_path / "admin-token").write_text(new)
        await at.change(admin={**at.sections["admin"], "require": [{"scopes": ["gateway:root"]}]})
        assert (await at.administer(), await at.administer(new), await at.administer(staff)) == (401, 200, 403)


async def test_the_receiver_of_alarms_is_added_and_removed(tmp_path: Path) -> None:
    def count(result: str) -> float:
        return at.gateway.metric(f'gateway_alarms_total{{result="{result}"}}')

    async def steal() -> None:
        tokens = await at.tokens()
        await at.refresh(tokens["refresh_token"])
        at.gateway.clock.now += 2 * 3600
        await at.refresh(tokens["refresh_token"])

    async with house(tmp_path) as at, upstream(answering(OK)) as receiver:
        await at.change({"alarm": {"url": f"{receiver.url}/hook", "secret_file": "alarm-secret"}})
        await steal()
        await eventually(lambda: count("ok") == 1, WITHIN)
        await at.change()
        await steal()
        assert len(at.gateway.events("refresh_token_reuse")) == 2
        assert len(receiver.requests) == 1


async def test_a_login_that_is_under_way_at_the_backend_is_finished(tmp_path: Path) -> None:
    """Also when the client for control calls is another one now, and the endpoints are somewhere else."""
    go = asyncio.Event()

    async def backend(wire: UpstreamWire) -> None:
        await wire.request()
        await go.wait()
        await wire.send(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"id":"alice"}')

    async with upstream(backend) as logins:
        login = {"backend": {"url": f"{logins.url}/login", "subject": "id"}}
        async with house(tmp_path, login=login) as at:
            attempt = asyncio.create_task(at.log_in())
            await eventually(lambda: logins.requests)
            await at.change(fetch={"timeout": "7s"})
            await at.change({"scope": "orders:read"})
            go.set()
            assert (await attempt).status == 200
            assert (await at.log_in()).status == 200


async def test_a_login_under_way_reads_the_rest_of_its_body_after_the_reload(tmp_path: Path) -> None:
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    head = request("POST", "/auth/login", "Content-Type: application/json", f"Content-Length: {len(body)}")
    async with house(tmp_path) as at, connected(at.gateway.port) as client:
        await client.send(head + body[:5])
        await eventually(lambda: [each for each in at.gateway.gateway.plane.connections if each.relay is not None])
        await at.change({"scope": "orders:read"})
        await asyncio.sleep(0.3)
        await client.send(body[5:])
        assert (await client.answer()).status == 200


async def test_old_endpoints_are_taken_down_when_nobody_needs_them(tmp_path: Path) -> None:
    def is_down(upstream: UpstreamSpec) -> bool:
        try:
            upstream.inside(asyncio.Protocol).abort()
        except ConnectionRefusedError:
            return True
        return False

    async with house(tmp_path) as at:
        former = []
        for number in range(3):
            former.append(at.gateway.gateway.snapshot.upstreams[ENDPOINTS])
            await at.change({"scope": f"s{number}"})
        await eventually(lambda: all(map(is_down, former)), WITHIN)
        assert not is_down(at.gateway.gateway.snapshot.upstreams[ENDPOINTS])
        await at.tokens()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sessions": {**SESSIONS, "key_file": "other.json"}}, "sessions.key_file: another key file"),
        ({"state": {"url": "sqlite:other.db"}}, "state: another store"),
        ({"admin": {**SECTIONS["admin"], "address": "127.0.0.1:1"}}, "admin.address: the address"),
        ({"admin": None}, "admin: admin is removed"),
    ],
)
async def test_what_needs_a_restart_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    async with house(tmp_path) as at:
        (tmp_path / "other.json").write_bytes((tmp_path / "own.json").read_bytes())
        sections = {name: value for name, value in {**at.sections, **change}.items() if value is not None}
        at.gateway.write(json.dumps(sections))
        event = await at.gateway.ask()
        assert event["event"] == "config_refused", event
        [shown] = event["settings"]
        assert told in shown
        await at.tokens()


async def test_the_key_file_is_read_at_once_when_somebody_asks(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        content = json.loads((tmp_path / "own.json").read_bytes())
        replace(tmp_path / "own.json", json.dumps(content, indent=1).encode())
        (tmp_path / "own.json").chmod(0o644)
        await at.gateway.ask()
        assert at.gateway.events("keys_exposed")
